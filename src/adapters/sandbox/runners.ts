import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import type { RunnerName } from "../../ports/workspaces.ts";
import type { SandboxSpec } from "./spec.ts";

/** Makes the command line that carries out a spec; it is started inside the holder's namespaces. */
export interface Runner {
  readonly name: RunnerName;
  /** `bundle`: a new folder for what the runner needs on disk, given as this process and as the holder see it. */
  command(spec: SandboxSpec, bundle: string): RunnerCommand;
}

export interface RunnerCommand {
  readonly argv: readonly string[];
  /** Content of a file that descriptor 3 has open. */
  readonly input?: string;
}

/** bubblewrap: no state on disk, no cgroup, 11 ms a command. `--as-pid-1` is left out so that its own init reaps and kills what stays behind. */
const bubblewrap: Runner = {
  name: "bubblewrap",
  command(spec) {
    const words = [
      "--die-with-parent",
      "--unshare-pid",
      "--unshare-ipc",
      "--unshare-uts",
      "--unshare-cgroup-try",
      "--hostname",
      spec.hostname,
      "--clearenv",
      "--cap-drop",
      "ALL",
    ];
    for (const capability of spec.process.capabilities.bounding) words.push("--cap-add", capability);
    for (const entry of spec.process.env) words.push("--setenv", entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1));
    words.push("--bind", spec.root.path, "/");
    const made = new Set<string>();
    for (const mount of spec.mounts) words.push(...foldersFor(mount, made), ...bubblewrapMount(mount));
    for (const path of spec.linux.readonlyPaths.filter((there) => existsSync(there))) words.push("--ro-bind", path, path);
    for (const path of spec.linux.maskedPaths.filter((there) => existsSync(there))) words.push("--ro-bind", "/dev/null", path);
    if (spec.process.terminal) words.push("--ro-bind", "/dev/null", "/dev/console");
    words.push("--chdir", spec.process.cwd);
    // Its command line is there to read for everybody inside, and names folders of the host: so all but the command goes by file.
    return { argv: ["bwrap", "--args", "3", "--", ...spec.process.args], input: words.map((word) => `${word}\0`).join("") };
  },
};

/** bubblewrap would make the folders on the way to a mount point for root alone; everybody in the image may pass. */
function foldersFor(mount: SandboxSpec["mounts"][number], made: Set<string>): readonly string[] {
  const [, top, ...rest] = mount.destination.split("/");
  if (mount.type !== "bind" || (top !== "run" && top !== "tmp")) return [];
  const folders = rest.slice(0, -1).map((_, index) => `/${top}/${rest.slice(0, index + 1).join("/")}`);
  return folders.filter((folder) => !made.has(folder) && made.add(folder)).flatMap((folder) => ["--perms", "0755", "--dir", folder]);
}

function bubblewrapMount(mount: SandboxSpec["mounts"][number]): readonly string[] {
  if (mount.type === "proc") return ["--proc", mount.destination];
  if (mount.destination === "/dev") return ["--dev", "/dev"];
  if (mount.destination.startsWith("/dev/")) return mount.destination === "/dev/shm" ? ["--perms", "1777", "--tmpfs", "/dev/shm"] : []; // --dev has made the rest
  if (mount.type === "tmpfs") return ["--perms", mount.options.includes("mode=1777") ? "1777" : "0755", "--tmpfs", mount.destination];
  return [mount.options.includes("ro") ? "--ro-bind" : "--bind", mount.source, mount.destination];
}

/** runc: reads the spec as its config.json. Its state lives in the bundle, so that it goes with the workspace. */
const runc: Runner = {
  name: "runc",
  command(spec, bundle) {
    mkdirSync(bundle, { recursive: true });
    writeFileSync(`${bundle}/config.json`, JSON.stringify(spec));
    return {
      argv: ["runc", "--root", `${bundle}/state`, "run", "--no-pivot", "--bundle", bundle, `bakehouse-${process.pid}-${Date.now()}`],
    };
  },
};

export const RUNNERS: Readonly<Record<RunnerName, Runner>> = { bubblewrap, runc };
