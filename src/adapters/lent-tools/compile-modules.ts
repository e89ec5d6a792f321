import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Compiles the Python modules of a lent tree, as the packages' own scripts would: an interpreter that has to compile its
 * standard library takes about a second longer to start. Bytecode belongs to one version of Python, so this happens only
 * where the host's is the same; elsewhere everything works, but slower.
 */
export async function compileModules(tree: string, signal: AbortSignal): Promise<boolean> {
  const version = readdirSync(join(tree, "usr/lib")).find((name) => /^python3\.\d+$/.test(name));
  if (version === undefined) return false;
  const host = `/usr/bin/${version}`;
  const folders = [`usr/lib/${version}`, "usr/lib/python3/dist-packages"].map((folder) => join(tree, folder));
  // unchecked-hash: no time stamps in it, and none looked at when it is loaded
  const args = [
    "-S",
    "-E",
    "-m",
    "compileall",
    "-q",
    "--invalidation-mode",
    "unchecked-hash",
    "-s",
    tree,
    "-p",
    "/",
    "-x",
    "/(test|lib2to3|idlelib)/",
    ...folders,
  ];
  return await new Promise((resolve) => {
    const child = spawn(host, args, { stdio: "ignore", signal, env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", PYTHONHASHSEED: "0" } });
    child.once("error", () => resolve(false)); // no such interpreter here
    child.once("close", () => resolve(true)); // a module for another Python does not compile; it is never loaded either
  });
}
