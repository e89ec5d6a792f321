import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import { makeFolder } from "../local-store/files.ts";

/** The package's own `templates/`, whether this runs from dist/, dist/chunks/ or src/. */
export function templatesFolder(from: string = import.meta.dirname): string {
  for (let folder = from; folder !== dirname(folder); folder = dirname(folder))
    if (existsSync(join(folder, "package.json")) && existsSync(join(folder, "templates"))) return join(folder, "templates");
  throw new Error("The package holds no templates");
}

/**
 * Writes files into a folder, all or none.
 *
 * @throws USAGE naming every file that is there already, or the file that stands where the folder should
 */
export function writeProject(folder: string, files: Readonly<Record<string, string>>): void {
  const taken = Object.keys(files).filter((path) => existsSync(join(folder, path)));
  if (taken.length > 0) {
    const hint = "name another folder: bakehouse init DIR";
    throw new BakehouseError("USAGE", `${folder} has ${taken.join(", ")} already; nothing was written`, { hint, details: taken });
  }
  for (const [path, text] of Object.entries(files)) writeNewFile(join(folder, path), text, folder);
}

function writeNewFile(file: string, text: string, folder: string): void {
  try {
    makeFolder(dirname(file));
    writeFileSync(file, text, { flag: "wx" });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOTDIR" && code !== "EEXIST" && code !== "ENOENT") throw error;
    const hint = "name another folder: bakehouse init DIR";
    throw new BakehouseError("USAGE", `${folder} cannot be a folder (${code}); nothing was written`, { hint }, error);
  }
}

export const readTemplateFile = (template: string, path: string): string => readFileSync(join(templatesFolder(), template, path), "utf8");

/** Whether a folder holds nothing yet, or is not there. */
export const isEmptyFolder = (folder: string): boolean => !existsSync(folder) || readdirSync(folder).length === 0;
