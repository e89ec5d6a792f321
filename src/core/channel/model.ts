import type { CheckPlatform } from "../checks/verdict.ts";

/** Checks that must have passed; `any`: wherever each of them runs. */
export interface RequiredChecks {
  readonly platform: CheckPlatform | "any";
  /** `all`: every check that the recipe declares for the image, on this platform. */
  readonly names: "all" | readonly string[];
}

/** No image enters the channel from each time that `cron` names, for `durationMs`. */
export interface FreezeWindow {
  readonly cron: string;
  readonly durationMs: number;
  /** IANA name. */
  readonly zone: string;
  readonly reason?: string;
}

/** What must be true of an image before the channel may point to it. That no ancestor is revoked is always asked. */
export interface Channel {
  readonly name: string;
  readonly description?: string;
  readonly checks: readonly RequiredChecks[];
  /** How long the image must have been in the channel before. */
  readonly minTimeMs: number;
  /** `by`: the people who may; empty: anybody. Whoever baked the image never counts. */
  readonly approvals: { readonly count: number; readonly by: readonly string[] };
  /** Evidence older than this counts for nothing; absent: it does not age. */
  readonly evidenceMaxAgeMs?: number;
  readonly sbom: {
    /** Names with `*`. */
    readonly packages: readonly string[];
    /** SPDX ids with `*`. */
    readonly licences: readonly string[];
    /** Security updates that have been out for longer than this must be in the image. */
    readonly securityOlderThanMs?: number;
  };
  readonly freeze: readonly FreezeWindow[];
}

/** The channels of a recipe, the first first: an image goes through them in this order. */
export type Channels = readonly Channel[];

/** A channel of one image name, and what it points to: `shop/release@qa`. */
export interface ChannelPointer<Digest extends string = string> {
  /** `<recipe>/<layer>`. */
  readonly name: string;
  readonly channel: string;
  readonly digest: Digest;
}
