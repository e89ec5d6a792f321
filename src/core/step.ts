import type { z } from "zod";
import type { AptRepository, NetworkPolicy, ParameterValue } from "./recipe/model.ts";
import type { Sha256 } from "./digest.ts";
import type { AnsibleRunner } from "../ports/ansible-runner.ts";
import type { Archives, Disks, Downloads, Inputs, LentTools, Secrets } from "../ports/step-services.ts";
import type { FoundationInstaller } from "../ports/foundation-installer.ts";
import type { ImageRoot } from "../ports/image-root.ts";
import type { LockedImage } from "../ports/oci-source.ts";
import type { PackageSet } from "../ports/package-store.ts";
import type { Sandbox } from "../ports/sandbox.ts";

/** What the engine can grant to a step's `run`; nothing else is reachable from it. */
export interface StepServices {
  readonly root: ImageRoot;
  readonly sandbox: Sandbox;
  /** The locked packages of this step, verified, as files. */
  readonly packages: PackageSet;
  /** Files of the recipe's folder that `requires` named. */
  readonly inputs: Inputs;
  /** Files that `requires` named by URL and SHA-256, verified. */
  readonly downloads: Downloads;
  readonly archives: Archives;
  readonly disks: Disks;
  readonly secrets: Secrets;
  readonly lent: LentTools;
  readonly installer: FoundationInstaller;
  /** The image that `requires.image` named, at the lock's digest. */
  readonly oci: LockedImage;
  readonly ansible: AnsibleRunner;
}
export type Need = keyof StepServices;

/** A file or tree of the recipe's folder. `path` is relative to it; `excludes` are globs relative to `path`. */
export interface FileRequest {
  readonly path: string;
  readonly excludes?: readonly string[];
  /** A folder of this name is a mistake. */
  readonly kind?: "file";
}

/** What `lock` must resolve for a step, on top of what the layers below already have. */
export interface PackageRequest {
  /** `name`, `name=version` or `name/suite`; `name-` to leave one out. */
  readonly names: readonly string[];
  /** Default false. */
  readonly recommends: boolean;
  /** Local `.deb` files, relative to the recipe's folder. */
  readonly files?: readonly string[];
  /** Set by a foundation: which suite, and which packages its variant starts from. */
  readonly foundation?: {
    readonly suite: string;
    readonly variant: "essential" | "minbase" | "standard";
    readonly components: readonly string[];
    readonly security: boolean;
    readonly updates: boolean;
    readonly mirror?: string;
  };
}

/** Everything besides the options that the result depends on; it enters the cache key and the lock. */
export interface StepRequirements {
  readonly files?: readonly FileRequest[];
  /** Parameters that the files' content is filled in with (those in the options are filled in before): their values enter the cache key. */
  readonly parameters?: "all" | readonly string[];
  readonly packages?: PackageRequest;
  /** Resolved like `packages`, extracted beneath the image for the time of the step, never part of the diff. */
  readonly lent?: PackageRequest;
  readonly downloads?: readonly { readonly url: string; readonly sha256: Sha256 }[];
  /** `oci:path[:tag]` relative to the recipe's folder, or `docker://…`. */
  readonly image?: string;
}

export interface StepProgress {
  /** What is being done now, such as `task "install nginx"`. */
  readonly message: string;
  /** 0 to 1 where known. */
  readonly fraction?: number;
}

export interface StepBaseContext<Options> {
  readonly options: Options;
  readonly address: string;
  readonly recipeName: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly repositories: readonly AptRepository[];
  readonly network: NetworkPolicy;
  /** SOURCE_DATE_EPOCH, seconds. */
  readonly epochSeconds: number;
  readonly architecture: "amd64";
  readonly builder: "own" | "mmdebstrap";
  readonly signal: AbortSignal;
  /** One line for the log of the bake. */
  log(line: string): void;
  progress(progress: StepProgress): void;
  onCleanup(undo: () => void | Promise<void>): void;
}

export type StepContext<Options, Needs extends Need> = StepBaseContext<Options> & Pick<StepServices, Needs>;

/** What is known when the launch payload is made. */
export interface LaunchContext {
  readonly address: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
}

/** What a step contributes at launch in the `software` and `boot` cakes. */
export interface LaunchFragment {
  /** POSIX shell, run as root in order under `set -eu`. `$BAKEHOUSE_PAYLOAD` is a folder that holds the step's payload files under their paths in the recipe's folder. */
  readonly script: string;
  /** Files of the recipe's folder that the script needs; packed into one tarball that the machine fetches. */
  readonly payload?: readonly FileRequest[];
}

export interface StepDefinition<Schema extends z.ZodType = z.ZodType, Needs extends Need = Need> {
  /** As written in a recipe: kebab-case. */
  readonly id: string;
  /** Part of the cache key: raise it when equal options start giving a different result. */
  readonly version: number;
  /** `foundation` starts a layer without a parent; `provision` changes what is there. */
  readonly role: "foundation" | "provision";
  readonly summary: string;
  /** Markdown, for the reference. */
  readonly description: string;
  /** YAML snippets for the reference, each a list item under `steps:`; tests parse them. */
  readonly examples: readonly string[];
  readonly options: Schema;
  /** Options that say where bytes come from and not which: they stay out of the cache key. */
  readonly notInKey?: readonly string[];
  readonly needs: readonly Needs[];
  requires?(options: z.output<Schema>): StepRequirements;
  run(context: StepContext<z.output<Schema>, Needs>): Promise<void>;
  atLaunch?(options: z.output<Schema>, context: LaunchContext): LaunchFragment;
}

/** Declares a step: one file holding schema, docs and run. */
export function defineStep<Schema extends z.ZodType, const Needs extends Need>(
  definition: StepDefinition<Schema, Needs>,
): StepDefinition<Schema, Needs> {
  return definition;
}
