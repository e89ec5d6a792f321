import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { pathWithSystemFolders } from "./find-program.ts";

/** The facts about this machine that decide whether it can bake; read in well under a millisecond, without a process. */
export interface Host {
  readonly platform: string;
  readonly architecture: string;
  readonly uid: number;
  readonly path: string;
  /** Whether this process may mount (CAP_SYS_ADMIN): root in an unprivileged container may not. */
  readonly canMount: boolean;
  /** Without /proc nothing else can be known, nor mounted. */
  readonly hasProc: boolean;
  /** File systems that the kernel has, or has a module for. */
  hasFileSystem(name: "overlay" | "erofs"): boolean;
  hasNamespace(name: "mnt" | "net" | "pid" | "uts" | "ipc"): boolean;
}

const CAP_SYS_ADMIN = 21n; // linux/capability.h

export function thisHost(env: Readonly<Record<string, string | undefined>> = process.env): Host {
  return {
    platform: process.platform,
    architecture: process.arch,
    uid: process.getuid?.() ?? -1,
    path: pathWithSystemFolders(env["PATH"]),
    hasProc: existsSync("/proc/self/status"),
    canMount: mayMount(readText("/proc/self/status")),
    hasFileSystem: (name) => new RegExp(`\\b${name}$`, "m").test(readText("/proc/filesystems")) || hasModule(name),
    hasNamespace: (name) => existsSync(`/proc/self/ns/${name}`),
  };
}

function mayMount(status: string): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}

const hasModule = (name: "overlay" | "erofs"): boolean => readText(`/lib/modules/${release()}/modules.dep`).includes(`/${name}.ko`);

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
