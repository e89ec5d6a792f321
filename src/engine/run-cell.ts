import { shortDigest, type ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { Cell, CellRequest, Cells, CellState } from "../ports/cells.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { readImage } from "./image-content.ts";
import { requireNotRevoked } from "./require-not-revoked.ts";

export interface RunCellParts {
  readonly store: Store;
  readonly cells: Cells;
  readonly clock: Clock;
}

export interface RunCellOptions extends Pick<CellRequest, "publish" | "files"> {
  /** Reference of an image or volume. */
  readonly image: string;
  readonly name?: string;
  /** Ends with this process; otherwise it runs until it is stopped. */
  readonly attached: boolean;
  /** How long to wait for everything to be started. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A cell as the commands show it. */
export interface ShownCell {
  readonly id: string;
  readonly name: string;
  readonly image: { readonly digest: ImageDigest; readonly name: string };
  readonly startedAt: string;
  readonly status: CellState["status"] | "degraded";
  readonly publish: CellState["publish"];
  /** Milliseconds from start until systemd had started everything. */
  readonly bootMs?: number;
  /** Units that have failed. */
  readonly failed: readonly string[];
}

/**
 * Starts a cell and waits until it has booted. When it is stopped meanwhile, nothing of it is left.
 *
 * @throws IMAGE_NOT_FOUND, IMAGE_REVOKED, INPUT_INVALID (a launch, a name that cannot be), RESOURCE_BUSY (name or port), CELL_FAILED (it died: its
 *         console is in the message, its logs are kept), CANCELLED
 */
export async function runCell(
  { store, cells, clock }: RunCellParts,
  options: RunCellOptions,
): Promise<{ readonly cell: Cell; readonly shown: ShownCell }> {
  const { entry, name, kind, root, source } = readImage(store, options.image);
  if (kind === "launch")
    throw new BakehouseError("INPUT_INVALID", `${name} is what machines are given at launch, and no image to boot`, {
      hint: `bakehouse run ${root === undefined ? "<image>" : shortDigest(root)}   (the image that it belongs to)`,
    });
  requireNotRevoked({ store, clock }, entry.digest);
  await cells.tidy();
  const cell = await cells.start(
    {
      image: { digest: entry.digest, name },
      source,
      purpose: options.attached ? "check" : "run",
      publish: options.publish,
      files: options.files,
      ...(options.name === undefined ? {} : { name: options.name }),
    },
    options.signal,
  );
  const stop = (): void => void cell.stop({ now: true });
  options.signal.addEventListener("abort", stop, { once: true });
  try {
    options.signal.throwIfAborted(); // while it was being started
    const state = await cell.booted(options.timeoutMs);
    options.signal.throwIfAborted();
    if (state === "dead") throw diedAtBoot(cell);
    return { cell, shown: await showCell(cell) };
  } catch (error) {
    if (options.signal.aborted) await cell.stop({ now: true });
    throw error;
  } finally {
    options.signal.removeEventListener("abort", stop);
  }
}

/** Lines of the console that an error shows. */
const TAIL_LINES = 15;

function diedAtBoot(cell: Cell): BakehouseError {
  const { name } = cell.state;
  const lines = cell.console().trim().split("\n").slice(-TAIL_LINES).join("\n");
  return new BakehouseError("CELL_FAILED", `Cell ${name} ended while it booted. The last that it showed:\n${lines}`, {
    hint: `bakehouse logs ${name}`,
  });
}

/** All cells of the store, the oldest first, with what those that run say of themselves. */
export const listCells = async ({ cells }: Pick<RunCellParts, "cells">): Promise<readonly ShownCell[]> =>
  Promise.all(cells.all().map(showCell));

/** How long a machine may take to say how it is; one that is starting up may be too busy. */
const ASK_MS = 5000;

async function showCell(cell: Cell): Promise<ShownCell> {
  const { id, name, image, startedAt, status, publish } = cell.state;
  const failed = status === "running" ? await failedUnits(cell) : [];
  return {
    id,
    name,
    image,
    startedAt,
    status: failed.length > 0 ? "degraded" : status,
    publish,
    ...(cell.bootMs === undefined ? {} : { bootMs: cell.bootMs }),
    failed,
  };
}

async function failedUnits(cell: Cell): Promise<readonly string[]> {
  try {
    const { stdout } = await cell.exec(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], { timeoutMs: ASK_MS });
    return stdout.split("\n").flatMap((line) => line.split(" ")[0] || []);
  } catch (error) {
    if (error instanceof BakehouseError && error.code === "CELL_FAILED") return []; // it ended just now
    throw error;
  }
}

/** What a program is called with when none is named: the shell of the image. */
export const defaultShell = ["sh", "-c", "exec bash -l 2>/dev/null || exec sh -l"] as const;
