import type { RecipeArtifact } from "./artifacts-section.ts";
import type { CycleSettings } from "../cycle/model.ts";
import type { Channels } from "../channel/model.ts";
import type { Fleet } from "../fleet/model.ts";
import type { JsonValue } from "../json.ts";
import type { NotifyTarget } from "../notices/target.ts";
import type { Retention } from "../retention/model.ts";

/** Where a value stands in the recipe's text; both start at 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export type ParameterValue = string | number | boolean;

export interface Parameter {
  readonly name: string;
  readonly type: "string" | "number" | "boolean";
  readonly description?: string;
  readonly value: ParameterValue;
}

/**
 * An apt repository of the recipe's own. `url` is `http://…`, `file:///…` (absolute) or `file:relative/to/recipe`.
 * `keyFile` is relative to the recipe's folder (ASCII-armoured or binary); `trusted: true` takes an unsigned one.
 */
export interface AptRepository {
  readonly name: string;
  readonly url: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly keyFile?: string;
  readonly trusted?: boolean;
  /** apt pin priority for everything in it, default 500. */
  readonly priority?: number;
}

/** A step of a layer with its options already checked and its parameters filled in. */
export interface RecipeStep {
  /** The step type, such as `apt`. */
  readonly id: string;
  /** Unique in its layer: the step's `name`, else its id, with `-2`, `-3`… for repeats. */
  readonly name: string;
  /** `<layer>/<name>`: how people and the lock refer to it. */
  readonly address: string;
  readonly options: JsonValue;
  /** Default 30 minutes. */
  readonly timeoutMs: number;
  readonly network: NetworkPolicy;
  /** Names of secrets that the step may read. */
  readonly secrets: readonly string[];
  readonly position: Position;
}

/** `none`: no route at all. `recorded`: replays what the lock recorded. `open`: marks the image not hermetic (`network: true`). */
export type NetworkPolicy = "none" | "recorded" | "open";

export interface ImageSettings {
  /** systemd unit that is the app. */
  readonly entry?: string;
  /** TCP ports unless written as `53/udp`. */
  readonly ports: readonly string[];
  readonly users: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** A check of a layer with its options already checked and its parameters filled in. */
export interface RecipeCheck {
  /** Type of the check, such as `http`. */
  readonly id: string;
  readonly givenName?: string;
  /** Name of the inherited check in whose place it stands. */
  readonly replaces?: string;
  readonly options: JsonValue;
  /** Files of the recipe's folder that it takes along. */
  readonly files: readonly string[];
  /** What the check itself says, where absent. */
  readonly retries?: number;
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  readonly path: readonly (string | number)[];
  readonly position: Position;
}

export interface RecipeLayer {
  readonly name: string;
  /** A layer of this recipe; absent for a foundation; `image` for an image of the store (name or digest). */
  readonly from?: { readonly layer: string } | { readonly image: string };
  readonly steps: readonly RecipeStep[];
  readonly image: ImageSettings;
  /** Its own; those of the layers below hold, too. */
  readonly checks: readonly RecipeCheck[];
  /** What its image shall be had as; changes nothing in it. */
  readonly artifacts: readonly RecipeArtifact[];
  /** `volume`: the tree at `path` becomes a read-only erofs image beside the parent's root image. */
  readonly release: { readonly as: "layer" } | { readonly as: "volume"; readonly path: string };
  /** Names of the parameters that its own steps and settings use, sorted: the others cannot change it. */
  readonly parameters: readonly string[];
  readonly position: Position;
}

/** Which of the three cakes: everything baked; software baked and the app's code fetched at launch; all at boot. */
export type Cake = "baked" | "software" | "boot";

export interface Recipe {
  readonly name: string;
  readonly description?: string;
  readonly cake: Cake;
  readonly parameters: readonly Parameter[];
  readonly repositories: readonly AptRepository[];
  /** Parents before children. */
  readonly layers: readonly RecipeLayer[];
  /** How foundations are installed: our own installer, or mmdebstrap as the checked reference. */
  readonly foundation: { readonly builder: "own" | "mmdebstrap" };
  /** Names of secrets and where they come from; the value itself never enters the recipe. */
  readonly secrets: Readonly<Record<string, { readonly env: string } | { readonly file: string }>>;
  /** When it is baked again by itself. */
  readonly cycle?: CycleSettings;
  /** What gc keeps of its images; absent: what gc is told. */
  readonly retention?: Retention;
  /** Where what happens to it is told. */
  readonly notify?: readonly NotifyTarget[];
  /** In the order that images go through; none: images of the recipe are not promoted. */
  readonly channels: Channels;
  /** Where its images run. */
  readonly fleets?: readonly Fleet[];
  /** Absolute path of the recipe file and of its folder. */
  readonly file: string;
  readonly folder: string;
}
