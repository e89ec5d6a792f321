import { readFileSync } from "node:fs";
import { problemsError } from "../../core/errors.ts";
import type { FileRequest } from "../../core/step.ts";
import type { InputEntry, Inputs } from "../../ports/step-services.ts";
import { isExecutable } from "./hash-inputs.ts";
import { locate, normalisePath, openFolder, walk } from "./walk.ts";
import type { WalkedEntry } from "./walk.ts";

/**
 * The files of a recipe's folder that a step declared. What a step did not declare is not in its cache key, so it is not
 * given either: asking for it is a mistake of the step, told as a plain Error.
 */
export function recipeInputs(folder: string, declared: readonly FileRequest[]): Inputs {
  const opened = openFolder(folder);

  function declaration(path: string): FileRequest {
    const normal = normalisePath(path);
    const found = declared.find((request) => {
      const base = normalisePath(request.path);
      return base === normal || base === "" || normal.startsWith(`${base}/`);
    });
    if (found === undefined) throw new Error(`The step reads ${path}, which its requires() does not name`);
    return found;
  }

  function hostPath(path: string): string {
    declaration(path);
    const found = locate(opened, path);
    if ("message" in found) throw problemsError("INPUT_INVALID", [found]);
    return found.hostPath;
  }

  function tree(path: string, excludes: readonly string[] = []): readonly InputEntry[] {
    const request = declaration(path);
    const base = normalisePath(request.path);
    const below = normalisePath(path).slice(base === "" ? 0 : base.length + 1);
    const walked = walk(opened, {
      path: base === "" ? "." : base,
      ...(request.excludes === undefined ? {} : { excludes: request.excludes }),
    });
    const narrowed = below === "" && excludes.length === 0 ? walked : walk(opened, { path, excludes });
    const problems = [...opened.problems, ...walked.problems, ...narrowed.problems];
    if (problems.length > 0) throw problemsError("INPUT_INVALID", problems);
    if (narrowed === walked) return walked.entries.map(inputEntry);
    const allowed = new Set(walked.entries.map((entry) => entry.hostPath));
    return narrowed.entries.filter((entry) => allowed.has(entry.hostPath)).map(inputEntry);
  }

  const read = (path: string): Buffer => readFileSync(hostPath(path));
  return { tree, read, readText: (path) => read(path).toString("utf8"), hostPath };
}

const inputEntry = (entry: WalkedEntry): InputEntry => ({
  path: entry.path,
  kind: entry.kind,
  hostPath: entry.hostPath,
  executable: isExecutable(entry),
  sizeBytes: entry.stats.size,
  ...(entry.linkTarget === undefined ? {} : { linkTarget: entry.linkTarget }),
});
