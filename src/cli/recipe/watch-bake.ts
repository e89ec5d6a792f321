import { fstatSync, statSync, watch } from "node:fs";
import { join } from "node:path";
import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { BakeResult } from "../../engine/bake-input.ts";
import type { Bakehouse, LoadOptions, RunOptions } from "../../presets/create-bakehouse.ts";
import type { Terminal } from "../terminal.ts";
import { formatDuration } from "../text.ts";

export interface WatchRequest {
  readonly bakehouse: Bakehouse;
  readonly path: string;
  readonly loadOptions: LoadOptions;
  readonly runOptions: RunOptions;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

/** Editors write a file in several steps; what comes within this time is one change. A guess. */
const SETTLE_MS = 60;

/**
 * Bakes, then again whenever something in the recipe's folder is saved, until the signal aborts. A recipe or app that is
 * broken for the moment is told and waited out. What was asked to be baked although it is cached is so once.
 */
export async function watchBake(request: WatchRequest): Promise<Baked> {
  const { bakehouse, terminal, signal } = request;
  const { folder, name } = bakehouse.load(request.path, request.loadOptions).recipe;
  const changes = folderChanges(folder, signal);
  let last: Baked | undefined;
  let before: string | undefined;
  let { runOptions } = request;
  try {
    for (;;) {
      const round = await bakeOnce({ ...request, runOptions });
      last = round.baked ?? last;
      // A save that changes nothing, and one that leaves the same mistake, are no news.
      if (round.state !== before) terminal.err(`${round.says}${terminal.errorColors.dim(`Watching ${name} (Ctrl-C ends it)`)}\n`);
      before = round.state;
      runOptions = { ...request.runOptions, noCache: false, from: [] };
      if (!(await changes.next())) break;
    }
  } finally {
    changes.close();
  }
  if (last === undefined) throw new BakehouseError("CANCELLED", "Stopped before anything was baked");
  return last;
}

type Baked = BakeResult & { readonly recipe: string };

interface Round {
  readonly baked?: Baked;
  /** The images that there are, or the mistake. */
  readonly state: string;
  /** For people, besides what the bake itself tells. */
  readonly says: string;
}

async function bakeOnce({ bakehouse, path, loadOptions, runOptions, terminal }: WatchRequest): Promise<Round> {
  try {
    const loaded = bakehouse.load(path, loadOptions);
    const result = await bakehouse.bake(loaded, runOptions);
    for (const image of result.images)
      if (!image.cached) terminal.out(`${image.name} ${image.digest} ${formatDuration(image.durationMs)}\n`);
    const state = result.images.map((image) => `${image.layer} ${shortDigest(image.digest)}`).join(", ");
    return { baked: { ...result, recipe: loaded.shownAs }, state, says: result.baked === 0 ? `Nothing changed (${state})\n` : "" };
  } catch (error) {
    if (!(error instanceof BakehouseError) || error.code === "CANCELLED") throw error;
    return { state: error.message, says: `${terminal.errorColors.red(`error ${error.code}`)} ${error.message}\n` };
  }
}

function folderChanges(folder: string, signal: AbortSignal): { next(): Promise<boolean>; close(): void } {
  let pending = false;
  let broken: Error | undefined;
  let wake: (() => void) | undefined;
  const watcher = watch(folder, { recursive: true }, (_event, name) => {
    if (name?.includes(".tmp-") || (name !== null && isOwnOutput(join(folder, name)))) return;
    pending = true;
    wake?.();
  });
  watcher.on("error", (error) => {
    broken = error;
    wake?.();
  });
  signal.addEventListener("abort", () => wake?.(), { once: true });
  return {
    async next() {
      while (!pending && broken === undefined && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
      if (signal.aborted) return false;
      if (broken !== undefined)
        throw new BakehouseError("SETUP_INCOMPLETE", `Cannot watch ${folder}: ${broken.message}`, { hint: "bakehouse bake" }, broken);
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      pending = false;
      return true;
    },
    close: () => watcher.close(),
  };
}

/** `bakehouse bake --watch >watch.log` in the recipe's folder: what is told there must not be the next change. */
function isOwnOutput(file: string): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (stats === undefined) return false;
  return [1, 2].some((descriptor) => {
    const { dev, ino } = fstatSync(descriptor);
    return dev === stats.dev && ino === stats.ino;
  });
}
