import { readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";

export const RECIPE_NAME = "bakehouse.yaml";
export const LOCK_NAME = "bakehouse.lock";

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
    const text = readFileSync(file, "utf8");
    return { text, file, folder: dirname(file), shownAs, lockFile: join(dirname(file), basename(file).replace(/(\.ya?ml)?$/, ".lock")) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" || code === "ENOTDIR" ? "There is no recipe at" : `Cannot read (${code ?? "unknown"})`;
    throw new BakehouseError("RECIPE_NOT_FOUND", `${why} ${shownAs}`, { hint: "bakehouse init writes one; or name its folder: bakehouse bake DIR" }, error);
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

const shown = (file: string, from: string): string => {
  const short = relative(from, file);
  return short.startsWith("../../") ? file : short;
};

export function readLockText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new BakehouseError("LOCK_INVALID", `Cannot read ${file}: ${(error as Error).message}`, {}, error);
  }
}

export const writeLockText = (file: string, text: string): void => writeFileSync(file, text);
