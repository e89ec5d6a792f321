import type { RecipeArtifact } from "./artifacts-section.ts";
import type { Trigger } from "../cycle/model.ts";
import type { ParameterValue } from "./model.ts";

/**
 * A recipe as it is written: the same shape as `bakehouse.yaml`. `Options` maps step ids to what may stand behind them;
 * see {@link StepOptions} for the type that a list of steps gives.
 */
export interface RecipeSource<Options extends object = AnyOptions> {
  readonly name: string;
  readonly description?: string;
  /** A plain value is short for its type and default. */
  readonly parameters?: Readonly<Record<string, ParameterSource | ParameterValue>>;
  readonly repositories?: Readonly<Record<string, RepositorySource>>;
  readonly secrets?: Readonly<Record<string, { readonly env: string } | { readonly file: string }>>;
  readonly cake?: "baked" | "software" | "boot";
  readonly foundation?: { readonly builder?: "own" | "mmdebstrap" };
  readonly cycle?: CycleSource;
  readonly retention?: RetentionSource;
  readonly notify?: Readonly<Record<string, NotifySource>>;
  readonly layers: Readonly<Record<string, LayerSource<Options>>>;
  /** In the order that images go through. */
  readonly channels?: Readonly<Record<string, ChannelSource>>;
  readonly fleets?: Readonly<Record<string, FleetSource>>;
}

/** One of `pinned`, and `layer` with `channel`. */
export interface FleetSource {
  readonly description?: string;
  readonly provider?: "local" | "ssh";
  /** Only `ssh` may leave it out: there it is how many hosts there are. */
  readonly size?: number;
  readonly zones?: readonly string[];
  readonly layer?: string;
  readonly channel?: string;
  readonly pinned?: string;
  /** Exactly one of `http`, `tcp` and `command`; times as `500ms`, `2s`. */
  readonly health: {
    readonly http?: string | { readonly path: string; readonly port?: number };
    readonly tcp?: number;
    readonly command?: readonly string[];
    readonly interval?: string;
    readonly timeout?: string;
    readonly healthy?: number;
    readonly unhealthy?: number;
  };
  /** `listen` and `backend`: local. `drain` and `admit`: ssh. */
  readonly traffic?:
    { readonly listen: number; readonly backend: number } | { readonly drain: readonly string[]; readonly admit: readonly string[] };
  readonly launch?: {
    readonly files?: Readonly<Record<string, string>>;
    readonly credentials?: Readonly<Record<string, string>>;
    readonly environment?: Readonly<Record<string, string>>;
  };
  readonly secrets?: readonly string[];
  /** The rest only for `ssh`. */
  readonly hosts?: readonly {
    readonly name: string;
    readonly address: string;
    readonly port?: number;
    readonly user?: string;
    readonly zone?: string;
    readonly hostKey: string;
    readonly labels?: Readonly<Record<string, string>>;
  }[];
  readonly identity?: string;
  readonly root?: string;
}

type CheckNames = "all" | readonly string[];

export interface ChannelSource {
  readonly description?: string;
  readonly checks?: CheckNames | { readonly cell?: CheckNames; readonly vm?: CheckNames; readonly tree?: CheckNames };
  /** `30m`, `36h`, `14d`, `2w`, as all times here. */
  readonly minTime?: string;
  readonly approvals?: number | { readonly count?: number; readonly by: readonly string[] };
  readonly evidenceMaxAge?: string;
  readonly sbom?: {
    readonly forbidPackages?: readonly string[];
    readonly forbidLicences?: readonly string[];
    readonly securityUpdates?: string;
  };
  readonly freeze?: readonly { readonly cron: string; readonly duration: string; readonly zone?: string; readonly reason?: string }[];
}

/** In words (`every second Monday at 03:00 Europe/Warsaw`), or as cron. */
export type CronSource = string | { readonly cron: string; readonly every?: string; readonly from?: string; readonly zone?: string };

export interface CycleSource {
  readonly schedule?: CronSource | { readonly rate: string; readonly from?: string };
  readonly triggers?: readonly Trigger[];
  readonly look?: string;
  readonly windows?: readonly { readonly opens: CronSource; readonly lasts: string; readonly cutoff?: string }[];
}

interface RetentionRulesSource {
  readonly keep?: number;
  readonly "younger-than"?: string;
}

export interface RetentionSource extends RetentionRulesSource {
  readonly grace?: string;
  readonly channels?: Readonly<Record<string, number>>;
  readonly layers?: Readonly<Record<string, RetentionRulesSource>>;
}

/** One of `webhook`, `command` and `file`. */
export interface NotifySource {
  readonly webhook?: string;
  readonly secret?: string;
  readonly command?: readonly string[];
  readonly file?: string;
  readonly events?: readonly string[];
  readonly timeout?: string;
  readonly retries?: number;
}

export interface ParameterSource {
  readonly type: "string" | "number" | "boolean";
  readonly default?: ParameterValue;
  readonly description?: string;
  readonly enum?: readonly ParameterValue[];
  readonly pattern?: string;
  readonly min?: number;
  readonly max?: number;
}

export interface RepositorySource {
  readonly url: string;
  readonly suites: readonly string[];
  readonly components?: readonly string[];
  readonly key?: string;
  readonly trusted?: true;
  readonly priority?: number;
}

export interface LayerSource<Options extends object = AnyOptions> {
  readonly description?: string;
  /** A layer of the recipe, `image:<name or digest>`, or absent for a foundation. */
  readonly from?: string | { readonly image: string };
  readonly steps?: readonly StepSource<Options>[];
  readonly image?: ImageSource;
  readonly checks?: readonly CheckSource[];
  readonly artifacts?: readonly ArtifactSource[];
  readonly release?: "layer" | { readonly volume: string };
}

export interface ArtifactSource {
  readonly format: RecipeArtifact["format"];
  readonly root?: RecipeArtifact["root"];
  /** `512MiB`, `8GiB`, `1TiB`. */
  readonly size?: string;
  readonly data?: string;
  readonly append?: readonly string[];
}

export interface ImageSource {
  readonly entry?: string;
  readonly ports?: readonly (number | string)[];
  readonly users?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

export interface StepSettings {
  readonly name?: string;
  /** `90s`, `10m`, `1h30m`; 30 minutes if absent. */
  readonly timeout?: string;
  readonly network?: "none" | "recorded" | boolean;
  readonly secrets?: readonly string[];
}

export interface CheckSettings {
  readonly name?: string;
  /** Name of an inherited check of the same type. */
  readonly replaces?: string;
  readonly retries?: number;
  /** `200ms`, `5s` */
  readonly interval?: string;
  readonly timeout?: string;
}

/** One check with its options under its type, such as `{ http: "/health", retries: 9 }`; the parser checks the options. */
export type CheckSource = { readonly [type: string]: unknown } & CheckSettings;

/** One step with its options under its id, such as `{ apt: ["curl"], timeout: "5m" }`. */
export type StepSource<Options extends object = AnyOptions> = {
  readonly [Id in keyof Options]: { readonly [Key in Id]: Options[Id] } & StepSettings;
}[keyof Options];

/** When the steps are not known to the compiler: any id, any options; the parser checks them. */
export type AnyOptions = { readonly [id: string]: unknown };
