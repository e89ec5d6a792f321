import { BakehouseError } from "../core/errors.ts";
import { shortDigest, type DiffId, type Sha256 } from "../core/digest.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { ImageKind } from "../ports/catalog.ts";
import type { Store } from "../ports/store.ts";
import type { NetworkPolicy } from "../core/recipe/model.ts";
import type { RunnerName, Workspace, Workspaces } from "../ports/workspaces.ts";
import { readImage } from "./image-content.ts";

export interface OpenShellParts {
  readonly store: Store;
  readonly trees: Pick<ImageTrees, "ensureUnpacked">;
  readonly workspaces: Workspaces;
  /** Mounts a release volume inside a workspace; gone with it. */
  mountVolume(workspace: Workspace, volume: { readonly blob: Sha256; readonly path: string }): Promise<void>;
  /** Runs a command of the host with this terminal and waits for it. */
  runInteractive(argv: readonly string[], signal: AbortSignal): Promise<{ readonly exitCode: number }>;
  /** A name for the folder of this shell. */
  newId(): string;
}

/** What a shell is opened on. */
export interface ShellTarget {
  readonly what: ImageKind | "failed step";
  /** For people: the image's name and digest, or the step's address and its bake. */
  readonly title: string;
  /** Whether what is done in it stays: in the state of a failed step it does, until gc. */
  readonly discarded: boolean;
}

export interface ShellOptions {
  /** A reference, or with `failed` the id of a bake (default: the newest failure that was kept). */
  readonly image?: string;
  readonly failed: boolean;
  /** Default: bash, else sh. */
  readonly command: readonly string[];
  readonly network: NetworkPolicy;
  readonly runner: RunnerName;
  readonly signal: AbortSignal;
  /** Told when everything stands, before the shell takes the terminal. */
  onOpen(target: ShellTarget): void;
}

export interface ShellResult extends ShellTarget {
  readonly exitCode: number;
}

/**
 * Opens a shell (or runs a command) in a sandbox, on an image or on what a failed step left.
 *
 * @throws IMAGE_NOT_FOUND, BAKE_NOT_FOUND (no such failure was kept), STORE_DAMAGED, RESOURCE_BUSY
 */
export function openShell(parts: OpenShellParts, options: ShellOptions): Promise<ShellResult> {
  return options.failed ? onFailedStep(parts, options) : onImage(parts, options);
}

async function onImage(parts: OpenShellParts, options: ShellOptions): Promise<ShellResult> {
  const { store } = parts;
  if (options.image === undefined)
    throw new BakehouseError("USAGE", "A shell needs an image, or --failed for the state that a failed step left", {
      hint: "bakehouse shell <image>",
    });
  const { entry, name, kind, source, epochSeconds } = readImage(store, options.image);
  if (store.readOnly)
    throw new BakehouseError(
      "STORE_READ_ONLY",
      `The store ${store.root} cannot be written to, and a shell needs a place for what is changed in it`,
      { hint: "copy the store, or run as a user who may write there" },
    );
  await parts.trees.ensureUnpacked(source.diffs);
  const id = parts.newId();
  const folder = store.workFolder(id);
  try {
    store.writeNote(`work/${id}/uses.json`, [...source.diffs, ...(source.volume === undefined ? [] : [source.volume.blob])]);
    const target: ShellTarget = { what: kind, title: `${name} (${shortDigest(entry.digest)})`, discarded: true };
    return await inWorkspace(
      parts,
      { folder: `${folder}/shell`, lowers: source.diffs, runner: options.runner },
      { ...options, epochSeconds, target, ...(source.volume === undefined ? {} : { volume: source.volume }) },
    );
  } finally {
    store.releaseWorkFolder(id);
  }
}

interface KeptState {
  readonly folder: string;
  readonly address: string;
  readonly lowers: readonly DiffId[];
  readonly recipe: string;
}

async function onFailedStep(parts: OpenShellParts, options: ShellOptions): Promise<ShellResult> {
  const { bake, state } = findKept(parts.store, options.image);
  await parts.trees.ensureUnpacked(state.lowers);
  const target: ShellTarget = { what: "failed step", title: `${state.address} as bake ${bake} left it`, discarded: false };
  parts.store.writeNote(`work/${bake}/kept.json`, state); // young again, so that gc leaves it alone meanwhile
  return parts.store.withLock(`kept-${bake}`, { signal: options.signal }, () =>
    inWorkspace(
      parts,
      { folder: state.folder, lowers: state.lowers, runner: options.runner, reopen: true },
      { ...options, epochSeconds: 0, target },
    ),
  );
}

/** @param wanted  id of a bake or the beginning of one; the newest if not given */
function findKept(store: Store, wanted: string | undefined): { readonly bake: string; readonly state: KeptState } {
  const kept = store.kept();
  const found = wanted === undefined ? kept.slice(0, 1) : kept.filter(({ bake }) => bake.startsWith(wanted));
  const bake = found[0]?.bake;
  if (bake === undefined || found.length > 1) {
    const known = kept.length === 0 ? "" : `; these were: ${kept.map((each) => each.bake).join(", ")}`;
    throw new BakehouseError(
      "BAKE_NOT_FOUND",
      found.length > 1
        ? `${String(wanted)} stands for ${found.length} kept failures: ${found.map((each) => each.bake).join(", ")}`
        : `No failed step was kept${wanted === undefined ? "" : ` by bake ${wanted}`}${known}`,
      {
        hint: "bakehouse bake --keep-on-failure",
      },
    );
  }
  const state = store.readNote(`work/${bake}/kept.json`) as KeptState | undefined;
  if (state?.folder === undefined || !Array.isArray(state.lowers))
    throw new BakehouseError("STORE_DAMAGED", `What bake ${bake} kept cannot be read`, { hint: "bakehouse gc --apply" });
  return { bake, state };
}

interface WorkspaceUse extends ShellOptions {
  readonly epochSeconds: number;
  readonly target: ShellTarget;
  readonly volume?: { readonly blob: Sha256; readonly path: string };
}

async function inWorkspace(parts: OpenShellParts, request: Parameters<Workspaces["open"]>[0], use: WorkspaceUse): Promise<ShellResult> {
  const workspace = await parts.workspaces.open(request);
  try {
    if (use.volume !== undefined) await parts.mountVolume(workspace, use.volume);
    use.onOpen(use.target);
    const argv = workspace.shellArgv(use.command.length > 0 ? use.command : defaultShell(workspace), {
      epochSeconds: use.epochSeconds,
      network: use.network,
    });
    const { exitCode } = await parts.runInteractive(argv, use.signal);
    return { ...use.target, exitCode };
  } finally {
    await workspace.close();
  }
}

function defaultShell(workspace: Workspace): readonly string[] {
  for (const shell of ["/bin/bash", "/bin/sh"]) if (workspace.root.stat(shell) !== undefined) return [shell];
  throw new BakehouseError("INPUT_INVALID", "The image has neither /bin/bash nor /bin/sh", {
    hint: "name a command that it has: bakehouse shell <image> -- /path/to/command",
  });
}
