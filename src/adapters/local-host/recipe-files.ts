import { existsSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { ReachPoint } from "../../ports/crash-points.ts";
import { startTimeOf } from "../local-store/owners.ts";

export const RECIPE_NAME = "bakehouse.yaml";

export interface RecipeFile {
  readonly text: string;
  /** Absolute. */
  readonly file: string;
  readonly folder: string;
  /** As the user would write it from where they stand. */
  readonly shownAs: string;
  /** `bakehouse.yaml` → `bakehouse.lock`; `other.yaml` → `other.lock`. */
  readonly lockFile: string;
}

/** Reads the recipe that a path names: the file itself, or `bakehouse.yaml` in a folder. @throws RECIPE_NOT_FOUND */
export function readRecipeFile(path: string, from: string): RecipeFile {
  const given = resolve(from, path);
  const file = isFolder(given) ? join(given, RECIPE_NAME) : given;
  const shownAs = shown(file, from);
  try {
    const text = readText(file);
    return { text, file, folder: dirname(file), shownAs, lockFile: lockFileOf(file) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UnreadableText) throw new BakehouseError("RECIPE_INVALID", `${shownAs} ${message}`, {}, error);
    const why = code === "ENOENT" || code === "ENOTDIR" ? "There is no recipe at" : `Cannot read (${code ?? "unknown"})`;
    throw new BakehouseError(
      "RECIPE_NOT_FOUND",
      `${why} ${shownAs}`,
      { hint: "bakehouse init, to write one; or name its folder: bakehouse bake DIR" },
      error,
    );
  }
}

/** Beside the recipe, under its name. */
export const lockFileOf = (recipeFile: string): string => join(dirname(recipeFile), basename(recipeFile).replace(/(\.ya?ml)?$/, ".lock"));

/** Many times what a recipe or lock may be, which their parsers say; half of what Node can hold as one text. */
const MOST_BYTES = 256 * 1024 * 1024;

class UnreadableText extends Error {}

/** Only of files: a pipe may never say anything, a device never end, and nothing can be stopped by Ctrl-C while it is waited for. */
function readText(path: string): string {
  const stats = statSync(path);
  if (!stats.isFile()) throw new UnreadableText(stats.isDirectory() ? "is a folder, not a file" : "is a device or pipe, not a file");
  if (stats.size > MOST_BYTES) throw new UnreadableText(`has ${stats.size} bytes, which is too large to be read`);
  return readFileSync(path, "utf8");
}

export const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

const shown = (file: string, from: string): string => {
  const short = relative(from, file);
  return short.startsWith("../../") ? file : short;
};

export function readLockText(file: string): string | undefined {
  try {
    return readText(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    const why = error instanceof UnreadableText ? `${file} ${message}` : `Cannot read ${file}: ${message}`;
    throw new BakehouseError("LOCK_INVALID", why, { hint: "remove it, then bakehouse lock" }, error);
  }
}

/** Readers see the old lock or the new one, never a part. A lock that is a symbolic link stays one. @throws LOCK_INVALID, STORE_FULL */
export function writeLockText(file: string, text: string, reach: ReachPoint): void {
  const target = withoutLink(file);
  const temporary = `${unfinishedPrefix(target)}${process.pid}`;
  try {
    writeFileSync(temporary, text, { mode: (statSync(target, { throwIfNoEntry: false })?.mode ?? 0o644) & 0o777 });
    reach("lock-text-written");
    renameSync(temporary, target);
  } catch (error) {
    rmSync(temporary, { force: true });
    if ((error as NodeJS.ErrnoException).code === "ENOSPC")
      throw new BakehouseError(
        "STORE_FULL",
        `No space left to write ${file}`,
        { hint: "the lock that was there is as before; make space and lock again" },
        error,
      );
    throw new BakehouseError(
      "LOCK_INVALID",
      `Cannot write ${file}: ${(error as Error).message}`,
      { hint: "the lock stands beside the recipe: lock where you may write" },
      error,
    );
  }
}

const withoutLink = (file: string): string => (existsSync(file) ? realpathSync(file) : file);

/** Removes a text that was on its way to be the lock when its process died. */
export function removeUnfinishedLock(file: string): void {
  const target = withoutLink(file);
  const prefix = basename(unfinishedPrefix(target));
  for (const name of readdirSync(dirname(target))) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length)) : 0;
    if (pid > 0 && startTimeOf(pid) === undefined) rmSync(join(dirname(target), name), { force: true });
  }
}

const unfinishedPrefix = (target: string): string => join(dirname(target), `.${basename(target)}.tmp-`);
