import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { BakehouseError } from "../../core/errors.ts";
import { readJsonIfThere, writeAtomically } from "../local-store/files.ts";
import { cellsWithCgroups } from "./cgroups.ts";

/**
 * Every systemd opens a few inotify instances, and all those of root count against one limit of the host, 128 by default: about 29
 * cells (measured). It is raised while more cells run than fit, and put back when the last one of this host has ended. What it
 * was is written down before, in a folder that a reboot clears just as it resets the limit.
 */
const LIMIT = "/proc/sys/fs/inotify/max_user_instances";
const NOTE = "/run/bakehouse-inotify.json";

/** Measured: 4 for an image of systemd, nginx and ssh. The rest is a guess, for images with more. */
const PER_CELL = 8;
/** A guess, for what root has open besides. */
const OF_THE_HOST = 40;
const RAISED = 8192;

interface Note {
  readonly was: number;
  readonly set: number;
}

const current = (): number => Number(readFileSync(LIMIT, "utf8"));

/** Called when the new cell has its cgroups, by which it is counted. */
export function makeRoomForCells(): void {
  const was = current();
  const needed = cellsWithCgroups().length * PER_CELL + OF_THE_HOST;
  if (needed <= was) return;
  const set = Math.max(RAISED, needed);
  if (readJsonIfThere(NOTE) === undefined) writeAtomically(NOTE, JSON.stringify({ was, set } satisfies Note));
  try {
    writeFileSync(LIMIT, String(set));
  } catch (error) {
    throw new BakehouseError(
      "SETUP_INCOMPLETE",
      `More cells than this machine's limit of ${was} inotify instances allows, and it cannot be raised here`,
      { hint: `sysctl fs.inotify.max_user_instances=${set}   (on the host)` },
      error,
    );
  }
}

/** Puts the limit back if no cell is left; leaves it when somebody else has changed it since. */
export function restoreLimit(): boolean {
  const note = readJsonIfThere(NOTE) as Note | undefined;
  if (note === undefined || cellsWithCgroups().length > 0) return false;
  if (current() === note.set) writeFileSync(LIMIT, String(note.was));
  rmSync(NOTE, { force: true });
  if (cellsWithCgroups().length > 0) makeRoomForCells(); // one began meanwhile
  return true;
}
