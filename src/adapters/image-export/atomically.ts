import { existsSync, lstatSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Exported, ExportOptions } from "../../ports/image-exports.ts";
import { namesIn } from "../local-store/files.ts";
import { startTimeOf } from "../local-store/owners.ts";
import { throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { sizeOfTree } from "../store-contents/tree-size.ts";

/** What is written at the place that it is given. `file` when the result is that file inside a folder of work. */
export interface Written {
  readonly digest?: Sha256;
  readonly file?: string;
}

/** Writes beside the target and renames: whoever looks sees the old, nothing, or the whole new one. */
export async function atomically(options: ExportOptions, isFolder: boolean, write: (to: string) => Promise<Written>): Promise<Exported> {
  const { target } = options;
  refuseTaken(target, options.replace);
  removeAbandoned(target);
  const beside = join(dirname(target), `.${basename(target)}.bakehouse-${process.pid}-${startTimeOf(process.pid) ?? 0}`);
  const watch = setInterval(() => options.onBytes(sizeSoFar(beside, isFolder)), PROGRESS_MS);
  try {
    throwIfCancelled(options.signal);
    const { digest, file = beside } = await write(beside);
    throwIfCancelled(options.signal);
    if (options.replace) rmSync(target, { recursive: true, force: true });
    renameSync(file, target);
    if (file !== beside) rmSync(beside, { recursive: true, force: true });
    const sizeBytes = statSync(target).isDirectory() ? sizeOfTree(target) : statSync(target).size;
    return { target, sizeBytes, ...(digest === undefined ? {} : { digest }) };
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    throw outputError(error, target);
  } finally {
    clearInterval(watch);
  }
}

const PROGRESS_MS = 200;

/** What an export to the same place left that was killed: its name says which process wrote it, and when that began. */
function removeAbandoned(target: string): void {
  const prefix = `.${basename(target)}.bakehouse-`;
  for (const name of namesIn(dirname(target)).filter((each) => each.startsWith(prefix))) {
    const [, pid, start] = /-(\d+)-(\d+)$/.exec(name) ?? [];
    if (startTimeOf(Number(pid)) !== Number(start)) rmSync(join(dirname(target), name), { recursive: true, force: true });
  }
}

function refuseTaken(target: string, replace: boolean): void {
  if (!existsSync(dirname(target)))
    throw new BakehouseError("INPUT_INVALID", `There is no folder ${dirname(target)} to write to`, { hint: `mkdir -p ${dirname(target)}` });
  if (!replace && lstatSync(target, { throwIfNoEntry: false }) !== undefined)
    throw new BakehouseError("INPUT_INVALID", `${target} exists already`, { hint: "--force to replace it, or --output for another place" });
}

/** A folder's size is too costly to ask for so often. */
const sizeSoFar = (path: string, isFolder: boolean): number => (isFolder ? 0 : (statSync(path, { throwIfNoEntry: false })?.size ?? 0));

/** Programs say it in words, system calls by code, and the layer code by its own error, which speaks of the store. */
function outputError(error: unknown, target: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const full =
    code === "ENOSPC" ||
    code === "EDQUOT" ||
    (error instanceof BakehouseError && error.code === "STORE_FULL") ||
    /No space left on device|Disk full/.test(String((error as Error | undefined)?.message));
  if (full)
    return new BakehouseError(
      "STORE_FULL",
      `No space left while writing ${target}; nothing was left behind`,
      { hint: "write to a larger disk: --output" },
      error,
    );
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new BakehouseError(
      "INPUT_INVALID",
      `Cannot write ${target}: ${(error as Error).message}`,
      { hint: "write to another place: --output" },
      error,
    );
  return error;
}
