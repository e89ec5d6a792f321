import type { BakehouseEvent } from "../core/events.ts";
import type { Diffs } from "../ports/diffs.ts";
import type { FoundationInstaller } from "../ports/foundation-installer.ts";
import type { BakeLog, Baker, Clock, InputHasher, SecretSource } from "../ports/host.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { LaunchPayloads } from "../ports/launch-payloads.ts";
import type { Keys } from "../ports/keys.ts";
import type { Papers } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";
import type { Workspaces } from "../ports/workspaces.ts";
import type { StepServices } from "../core/step.ts";
import type { BoundStep, StepRegistry } from "./bound-recipe.ts";
import type { LockedStep } from "../core/lock/model.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { NamedMirror, NetworkRecorder } from "../ports/network-recorder.ts";
import type { DiffId, Sha256 } from "../core/digest.ts";
import type { Workspace } from "../ports/workspaces.ts";

/** Everything that the use cases need from outside; a preset puts it together. */
export interface EngineParts {
  readonly store: Store;
  readonly keys: Keys;
  readonly papers: Papers;
  readonly workspaces: Workspaces;
  readonly diffs: Diffs;
  readonly steps: StepRegistry;
  readonly hasher: InputHasher;
  readonly clock: Clock;
  readonly baker: Baker;
  /** Version of Bakehouse, for lineage. */
  readonly tool: string;
  /** Names this code, for notes that another must not take for its own; undefined when it runs from its sources. */
  readonly build?: string;
  /** Told at the moments that tests let a bake die at; does nothing otherwise. */
  readonly reach: ReachPoint;
  readonly installers: Readonly<Record<Recipe["foundation"]["builder"], FoundationInstaller>>;
  /** Opened on first use. */
  catalog(): Catalog;
  secrets(recipe: Recipe): SecretSource;
  openLog(bake: string): BakeLog;
  /** Fresh, sortable by time: `20261122-110438-x3k9`. */
  newBakeId(): string;
  /** Services of one step that work on host files. */
  stepFiles(
    bound: BoundStep,
    recipe: Recipe,
    locked: LockedStep | undefined,
    workspace: Workspace,
    signal: AbortSignal,
  ): Promise<Omit<StepServices, "root" | "sandbox" | "inputs" | "secrets" | "installer">>;
  lentFolder(digest: Sha256): string;
  /** Makes sure that every byte that the steps name is in the store, fetching what is missing. */
  fetchMissing(
    steps: readonly { readonly bound: BoundStep; readonly locked: LockedStep | undefined }[],
    recipe: Recipe,
    options: { readonly signal: AbortSignal; progress(doneBytes: number, totalBytes: number): void },
  ): Promise<{ readonly count: number; readonly totalBytes: number }>;
  /** Whether the image made of these diffs has something at a path. */
  lowerLookup(diffs: readonly DiffId[]): (path: string) => { readonly exists: boolean; readonly directory: boolean };
  /** Takes out whiteouts of what no layer below has: of lent tools that a step removed. */
  dropIdleWhiteouts(directory: string, lowerHas: (path: string) => boolean): void;
  /** Reads text files of the image made of these diffs. */
  readLower(diffs: readonly DiffId[]): (path: string) => string | undefined;
  /** Names of secrets found in a directory, by path. */
  findSecrets(
    directory: string,
    secrets: ReadonlyMap<string, string>,
  ): Promise<readonly { readonly path: string; readonly secret: string; readonly form: string }[]>;
  maskSecrets(secrets: ReadonlyMap<string, string>): Promise<(line: string) => string>;
  /** Makes a reproducible erofs image of a directory, which is gone afterwards; its digest. */
  buildVolume(
    directory: string,
    target: string,
    options: { readonly epochSeconds: number; readonly signal: AbortSignal },
  ): Promise<{ readonly digest: DiffId; readonly sizeBytes: number }>;
  /** Paths of a diff's directory that lie outside of one subtree (at most `limit`). */
  pathsOutside(directory: string, subtree: string, limit: number): readonly string[];
  readonly network: NetworkRecorder;
  readonly payloads: LaunchPayloads;
  /** Addresses of the package mirrors, which the lock knows by name. */
  mirrors(recipe: Recipe): Promise<readonly NamedMirror[]>;
}

export type Report = (event: BakehouseEvent) => void;
