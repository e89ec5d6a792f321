/**
 * The part of an OCI runtime configuration (config.json, runtime-spec 1.0) that a bake step needs: the one neutral
 * description of a sandbox. runc reads it as it is; for bubblewrap it is translated.
 */
export interface SandboxSpec {
  readonly ociVersion: "1.0.2";
  readonly process: {
    readonly terminal: boolean;
    readonly user: { readonly uid: 0; readonly gid: 0 };
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly capabilities: Readonly<Record<"bounding" | "effective" | "permitted", readonly string[]>>;
    readonly noNewPrivileges: boolean;
  };
  readonly root: { readonly path: string; readonly readonly: false };
  readonly hostname: string;
  readonly mounts: readonly SpecMount[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: "pid" | "ipc" | "uts" | "mount" | "cgroup" }[];
    readonly cgroupsPath: string;
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
  };
}

export interface SpecMount {
  readonly destination: string;
  readonly type: "proc" | "tmpfs" | "devpts" | "mqueue" | "bind";
  readonly source: string;
  readonly options: readonly string[];
}

/** What dpkg and maintainer scripts need and no more. No CAP_SYS_ADMIN, no CAP_NET_ADMIN, no CAP_SYS_RESOURCE. */
const CAPABILITIES = [
  "CAP_AUDIT_WRITE",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_BIND_SERVICE",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
] as const;

/** Of the whole machine, whoever reads them: the kernel's memory, keys, timers, messages. */
const MASKED = ["/proc/kcore", "/proc/keys", "/proc/kmsg", "/proc/latency_stats", "/proc/sched_debug", "/proc/timer_list"] as const;

/** Settings of the kernel that hold for the whole machine. Root may write them without any capability. */
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"] as const;

export interface SpecRequest {
  readonly rootPath: string;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly epochSeconds: number;
  readonly workingDirectory: string;
  readonly binds: readonly { readonly hostPath: string; readonly path: string; readonly readOnly: boolean }[];
  readonly terminal: boolean;
  readonly cgroupsPath: string;
}

/** The environment that every command sees, the same on every host. */
const baseEnvironment = (epochSeconds: number): Readonly<Record<string, string>> => ({
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: "/root",
  USER: "root",
  LOGNAME: "root",
  SHELL: "/bin/sh",
  LC_ALL: "C.UTF-8",
  TZ: "UTC",
  TERM: "dumb",
  SOURCE_DATE_EPOCH: String(epochSeconds),
  DEBIAN_FRONTEND: "noninteractive",
  DEBCONF_NONINTERACTIVE_SEEN: "true",
});

export function sandboxSpec(request: SpecRequest): SandboxSpec {
  const environment = { ...baseEnvironment(request.epochSeconds), ...request.environment };
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: request.terminal,
      user: { uid: 0, gid: 0 },
      args: request.argv,
      env: Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      cwd: request.workingDirectory,
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      noNewPrivileges: true, // bubblewrap knows no other way
    },
    root: { path: request.rootPath, readonly: false },
    hostname: "bakehouse",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: [] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "nodev", "mode=1777", "size=65536k"] },
      { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=1777"] },
      { destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=755"] },
      ...request.binds.map((bind): SpecMount => ({
        destination: bind.path,
        type: "bind",
        source: bind.hostPath,
        options: ["bind", bind.readOnly ? "ro" : "rw"],
      })),
    ],
    linux: {
      namespaces: [{ type: "pid" }, { type: "ipc" }, { type: "uts" }, { type: "mount" }, { type: "cgroup" }],
      cgroupsPath: request.cgroupsPath,
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
    },
  };
}
