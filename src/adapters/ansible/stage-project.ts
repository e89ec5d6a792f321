import { chmodSync, copyFileSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Playbook } from "../../ports/ansible-runner.ts";
import type { Inputs } from "../../ports/step-services.ts";

/**
 * Copies the declared files for the controller: it sees what the cache key has seen and nothing else, with modes that
 * do not come from the host's umask (`mode: preserve` would bake them).
 */
export function stageProject(inputs: Inputs, project: Playbook["project"], folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const entry of inputs.tree(project.path, project.excludes)) {
    const target = join(folder, entry.path);
    if (entry.kind === "directory") mkdirSync(target, { recursive: true, mode: 0o755 });
    else if (entry.kind === "symlink") symlinkSync(entry.linkTarget ?? "", target);
    else stageFile(entry.hostPath, target, entry.executable);
  }
}

export function stageFile(source: string, target: string, executable: boolean): void {
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
  chmodSync(target, executable ? 0o755 : 0o644);
}
