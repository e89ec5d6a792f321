import type { MachineClock } from "../audit/record.ts";
import type { CheckPlatform } from "../checks/verdict.ts";
import type { ImageDigest, Sha256 } from "../digest.ts";

/** A move of a channel, as the audit log has it. */
export interface ChannelMove {
  readonly sequence: number;
  readonly name: string;
  readonly channel: string;
  readonly kind: "promoted" | "rolled-back" | "demoted";
  /** Where it points since; absent: to nothing. */
  readonly digest?: ImageDigest;
  readonly at: string;
  readonly who: string;
  readonly clock?: MachineClock;
  readonly emergency: boolean;
}

export interface Approval {
  readonly digest: ImageDigest;
  readonly channel: string;
  readonly person: string;
  /** `user@host` of whoever typed it. */
  readonly who: string;
  readonly at: string;
}

export interface Revocation {
  readonly sequence: number;
  readonly digest: ImageDigest;
  readonly name: string;
  readonly reason: string;
  /** From when on. */
  readonly from: string;
  readonly who: string;
  readonly at: string;
  readonly reaches: readonly ImageDigest[];
}

/** A piece of evidence as it was read back: what is said in it is not yet believed. */
export interface Evidence {
  /** Of the paper. */
  readonly digest: Sha256;
  readonly trust: "signed" | "unknown-key" | "bad-signature" | "wrong-subject";
  readonly keyId: string;
  /** Digests that the statement speaks of; absent when it cannot be read. */
  readonly subjects?: readonly string[];
  readonly predicate?: unknown;
}

export interface InstalledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression; absent when nobody says. */
  readonly licence?: string;
}

/** The newest security updates, as the lists in the store have them. */
export interface SecurityIndex {
  /** When the lists were made: their Release file's date. */
  readonly date: string;
  /** Newest version by package. */
  readonly versions: ReadonlyMap<string, string>;
}

/** A check that an image promises to pass; without `platform`, where it runs is not known. */
export interface PromisedCheck {
  readonly name: string;
  readonly platform?: CheckPlatform;
}

/** Everything that gates look at besides the clock. What is not known is absent, and keeps a gate shut. */
export interface PromotionFacts {
  readonly image: {
    readonly digest: ImageDigest;
    /** As the user may type it. */
    readonly reference: string;
    readonly bakedBy: string;
    /** Newest time in it: when its packages were locked. */
    readonly contentFrom: string;
  };
  /** From the foundation to the image itself; `here: false`: not in the store, so that what it stands on is not known either. */
  readonly lineage: readonly { readonly digest: ImageDigest; readonly name: string; readonly here: boolean }[];
  /** Those that hold, not those that were taken back. */
  readonly revocations: readonly Revocation[];
  /** The channel before in the recipe, and its moves, the oldest first; absent for the first channel. */
  readonly before?: { readonly channel: string; readonly moves: readonly ChannelMove[] };
  /** What the image promises to pass, as far as a trusted key says so. */
  readonly declared?: readonly PromisedCheck[];
  readonly evidence: readonly Evidence[];
  /** Of this digest for this channel. */
  readonly approvals: readonly Approval[];
  /** From a signed SBOM of exactly this image. */
  readonly packages?: readonly InstalledPackage[];
  readonly security?: SecurityIndex;
  /** The latest time of any record: a clock that stands before it was set back. */
  readonly latestRecordAt?: string;
  readonly clock?: MachineClock;
}
