import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { storeError } from "../local-store/files.ts";
import { startTimeOf } from "../local-store/owners.ts";

/** A folder of this process for files on their way; gone with `remove`, or with the next process when this one dies. */
export interface Scratch {
  /** A path in it that nothing has used yet. */
  path(name: string): string;
  remove(): void;
}

let counter = 0;

/** Where files are written beside their place and renamed into it. */
const WRITTEN_PLACES = ["releases", "stanzas", "keyrings"] as const;

/** @param root  makes `<root>/tmp/<pid>-<start time>-<n>/`; what dead processes left below `root` is removed */
export function openScratch(root: string): Scratch {
  const folder = join(root, "tmp");
  removeDead(folder);
  for (const place of WRITTEN_PLACES) removeUnfinished(join(root, place));
  const own = join(folder, `${process.pid}-${startTimeOf(process.pid) ?? 0}-${counter++}`);
  try {
    mkdirSync(own, { recursive: true });
  } catch (error) {
    throw storeError(error, own);
  }
  return { path: (name) => join(own, `${counter++}-${name}`), remove: () => rmSync(own, { recursive: true, force: true }) };
}

function removeDead(folder: string): void {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const [, pid, start] = /^(\d+)-(\d+)-\d+$/.exec(name) ?? [];
    if (startTimeOf(Number(pid)) !== Number(start)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function removeUnfinished(folder: string): void {
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const [, pid] = /^\.tmp-(\d+)-/.exec(name) ?? [];
    if (pid !== undefined && startTimeOf(Number(pid)) === undefined) rmSync(join(folder, name), { force: true });
  }
}
