import { watch } from "node:fs";
import { dirname } from "node:path";
import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { BakeResult } from "../../engine/bake.ts";
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
 * broken for the moment is told and waited out.
 */
export async function watchBake(request: WatchRequest): Promise<BakeResult & { readonly recipe: string }> {
  const { bakehouse, terminal, signal } = request;
  const folder = dirname(bakehouse.load(request.path, request.loadOptions).recipe.file);
  const changes = folderChanges(folder, signal);
  let last: (BakeResult & { readonly recipe: string }) | undefined;
  try {
    for (;;) {
      last = (await bakeOnce(request)) ?? last;
      terminal.err(`${terminal.errorColors.dim(`Watching ${folder} (Ctrl-C ends it)`)}\n`);
      if (!(await changes.next())) break;
    }
  } finally {
    changes.close();
  }
  if (last === undefined) throw new BakehouseError("CANCELLED", "Stopped before anything was baked");
  return last;
}

async function bakeOnce({
  bakehouse,
  path,
  loadOptions,
  runOptions,
  terminal,
}: WatchRequest): Promise<(BakeResult & { readonly recipe: string }) | undefined> {
  try {
    const loaded = bakehouse.load(path, loadOptions);
    const result = await bakehouse.bake(loaded, runOptions);
    for (const image of result.images)
      if (!image.cached) terminal.out(`${image.name} ${image.digest} ${formatDuration(image.durationMs)}\n`);
    if (result.baked === 0)
      terminal.err(`Nothing changed (${result.images.map((image) => `${image.layer} ${shortDigest(image.digest)}`).join(", ")})\n`);
    return { ...result, recipe: loaded.shownAs };
  } catch (error) {
    if (!(error instanceof BakehouseError) || error.code === "CANCELLED") throw error;
    terminal.err(`${terminal.errorColors.red(error.code)} ${error.message}\n`);
    return undefined;
  }
}

function folderChanges(folder: string, signal: AbortSignal): { next(): Promise<boolean>; close(): void } {
  let pending = false;
  let wake: (() => void) | undefined;
  const watcher = watch(folder, { recursive: true }, (_event, name) => {
    if (name?.endsWith(".lock") || name?.includes(".tmp-")) return;
    pending = true;
    wake?.();
  });
  signal.addEventListener("abort", () => wake?.(), { once: true });
  return {
    async next() {
      while (!pending && !signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
      if (signal.aborted) return false;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      pending = false;
      return true;
    },
    close: () => watcher.close(),
  };
}
