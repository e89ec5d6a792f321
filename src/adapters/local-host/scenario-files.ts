import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { BakehouseError } from "../../core/errors.ts";

export interface ScenarioFile {
  /** As the user would write it from where they stand. */
  readonly shownAs: string;
  readonly text: string;
}

/** The scenario that a path names, or every `.yaml` of a folder, by name. @throws SCENARIO_INVALID when there is none */
export function readScenarioFiles(path: string, from: string): readonly ScenarioFile[] {
  const given = resolve(from, path);
  try {
    const isFolder = statSync(given).isDirectory();
    const names = isFolder ? readdirSync(given).filter((name) => /\.ya?ml$/.test(name)) : [];
    if (isFolder && names.length === 0) throw new BakehouseError("SCENARIO_INVALID", `${path} holds no scenario (*.yaml)`);
    const files = isFolder ? names.sort().map((name) => join(given, name)) : [given];
    return files.map((file) => ({ shownAs: relative(from, file) || file, text: readFileSync(file, "utf8") }));
  } catch (error) {
    if (error instanceof BakehouseError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" || code === "ENOTDIR" ? "There is no scenario at" : `Cannot read (${code ?? "unknown"})`;
    throw new BakehouseError("SCENARIO_INVALID", `${why} ${path}`, { hint: "docs/scenarios/ has examples of each kind" }, error);
  }
}
