import { constants, chmodSync, copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { LaunchPayloads } from "../../ports/launch-payloads.ts";
import type { InputEntry } from "../../ports/step-services.ts";

export const launchPayloads = (): LaunchPayloads => ({
  stage({ hasher, folder, files, texts, directory }) {
    rmSync(directory, { recursive: true, force: true });
    makeDirectory(directory);
    for (const request of files)
      for (const entry of hasher.inputs(folder, [request]).tree(request.path, request.excludes))
        put(entry, join(directory, request.path, entry.path));
    for (const [path, text] of Object.entries(texts)) {
      makeDirectory(dirname(join(directory, path)));
      writeFileSync(join(directory, path), text, { mode: 0o644 });
    }
  },
});

/** The same file may be asked for twice, by two steps. */
function put(entry: InputEntry, target: string): void {
  if (entry.kind === "directory") return makeDirectory(target);
  makeDirectory(dirname(target));
  rmSync(target, { force: true });
  if (entry.kind === "symlink") return symlinkSync(entry.linkTarget ?? "", target);
  copyFileSync(entry.hostPath, target, constants.COPYFILE_FICLONE);
  chmodSync(target, entry.executable ? 0o755 : 0o644);
}

/** Whatever the umask of who runs this. */
function makeDirectory(path: string): void {
  const made = mkdirSync(path, { recursive: true });
  if (made === undefined) return;
  for (let at = path; at.length >= made.length; at = dirname(at)) chmodSync(at, 0o755);
}
