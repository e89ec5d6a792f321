import { spawn } from "node:child_process";
import type { Workspace } from "../../ports/workspaces.ts";

/** Mounts an erofs file at a path inside an open workspace. Mount and loop device go with the workspace's namespace. */
export function mountInWorkspace(workspace: Workspace, file: string, path: string): Promise<void> {
  workspace.root.makeDirectory(path);
  const inside = workspace.root.resolve(path).replace(/^\/proc\/\d+\/root/, "");
  const argv = ["--target", String(workspace.holderPid), "--mount", "--", "mount", "-t", "erofs", "-o", "ro,loop,nodev", file, inside];
  return new Promise((resolve, reject) => {
    const child = spawn("nsenter", argv, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    });
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`Mounting the release volume at ${path}: ${complaint.trim()}`)),
    );
  });
}
