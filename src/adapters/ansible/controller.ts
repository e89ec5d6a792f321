import { spawn } from "node:child_process";
import { existsSync, lstatSync, readlinkSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** Where the controller sees its files; the same on every host, since Ansible puts paths into what it makes. */
export const PLACE = "/run/bakehouse";

export interface ControllerRequest {
  /** Arguments of ansible-playbook. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Host folders and files, by name below PLACE. */
  readonly writable: Readonly<Record<string, string>>;
  readonly readOnly: Readonly<Record<string, string>>;
  /** Contents that never touch a disk, by name below PLACE. */
  readonly memoryFiles: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  onLine(line: string): void;
}

/**
 * Runs the host's ansible-playbook in a file system that holds the host's /usr, the given files and nothing else, without
 * a network: a lookup, a local action or a plugin of the playbook can neither read what the cache key does not know, nor
 * change the host. Everything in it ends when it ends, or when this process dies.
 *
 * @returns the exit code
 */
export function runController(request: ControllerRequest): Promise<number> {
  const memory = Object.entries(request.memoryFiles);
  const argv = [
    ...bubblewrapArguments(
      request,
      memory.map(([name]) => name),
    ),
    "/usr/bin/python3",
    "/usr/bin/ansible-playbook",
    ...request.args,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn("bwrap", argv, {
      stdio: ["ignore", "pipe", "pipe", ...memory.map(() => "pipe" as const)],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      detached: true, // Ctrl-C is for Bakehouse, which ends this in its own order
    });
    memory.forEach(([, content], index) => {
      const pipe = child.stdio[FIRST_PIPE + index] as Writable;
      pipe.on("error", () => undefined); // bwrap itself says why it did not start
      pipe.end(content);
    });
    const kill = (): void => void child.kill("SIGKILL");
    request.signal.addEventListener("abort", kill, { once: true });
    if (request.signal.aborted) kill();
    const streams = [child.stdout, child.stderr].map((stream) => readLines(stream as Readable, request.onLine));
    child.once("error", reject);
    child.once("close", (code) => {
      request.signal.removeEventListener("abort", kill);
      Promise.all(streams).then(() => resolve(code ?? 128), reject);
    });
  });
}

const FIRST_PIPE = 3;

async function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) onLine(line);
}

function bubblewrapArguments(request: ControllerRequest, memoryNames: readonly string[]): readonly string[] {
  return [
    ...[
      "--die-with-parent",
      "--unshare-pid",
      "--unshare-ipc",
      "--unshare-uts",
      "--unshare-net",
      "--hostname",
      "bakehouse",
      "--cap-drop",
      "ALL",
      "--clearenv",
    ],
    ...[
      "--ro-bind",
      "/usr",
      "/usr",
      ...systemFolders(),
      "--proc",
      "/proc",
      "--dev",
      "/dev",
      "--tmpfs",
      "/tmp",
      "--tmpfs",
      "/run",
      "--dir",
      "/root",
      "--dir",
      PLACE,
    ],
    // collections and settings that this host happens to have are not the recipe's
    ...hidden("/usr/share/ansible"),
    ...hidden("/usr/local"),
    ...present(["/etc/ld.so.cache", "/etc/alternatives"]).flatMap((path) => ["--ro-bind", path, path]),
    ...Object.entries(request.writable).flatMap(([name, path]) => ["--bind", path, `${PLACE}/${name}`]),
    ...Object.entries(request.readOnly).flatMap(([name, path]) => ["--ro-bind", path, name.startsWith("/") ? name : `${PLACE}/${name}`]),
    ...memoryNames.flatMap((name, index) => ["--perms", "0400", "--file", String(FIRST_PIPE + index), `${PLACE}/${name}`]),
    ...Object.entries(request.environment).flatMap(([name, value]) => ["--setenv", name, value]),
    ...["--chdir", `${PLACE}/project`, "--"],
  ];
}

const present = (paths: readonly string[]): readonly string[] => paths.filter((path) => existsSync(path));
const hidden = (path: string): readonly string[] => (existsSync(path) ? ["--tmpfs", path] : []);

/** /bin, /lib and so on: links on a merged-/usr host, folders on an older one. */
const systemFolders = (): readonly string[] =>
  present(["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]).flatMap((path) =>
    lstatSync(path).isSymbolicLink() ? ["--symlink", readlinkSync(path), path] : ["--ro-bind", path, path],
  );
