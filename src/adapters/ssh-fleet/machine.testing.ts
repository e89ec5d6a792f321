import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SshHost } from "../../core/fleet/model.ts";

/**
 * A machine of its own for tests: systemd and sshd of this host, on an overlay of this host's root, in namespaces, at an address of
 * its own. What it writes stays in memory while it is off.
 *
 *     <folder>/upper, work    what it wrote          <folder>/root    the merged tree, from outside
 */
export interface TestMachine {
  readonly host: SshHost;
  /** Its root, from outside. */
  readonly root: string;
  /** At once, as a power cut. */
  powerOff(): Promise<void>;
  /** Until its sshd answers. */
  boot(): Promise<void>;
  /** Pulls its cable, or plugs it in again. */
  cable(state: "down" | "up"): void;
  /** Runs a script inside, past ssh. */
  inside(script: string): string;
  /** Powers it off and removes everything of it. */
  close(): Promise<void>;
}

export interface TestMachineOptions {
  /** Path of the public key that may log in as root. */
  readonly authorizedKey: string;
  /** It can mount erofs. Default true. */
  readonly erofs?: boolean;
  /** Who may log in with the key; another than root may do everything by sudo. Default root. */
  readonly user?: string;
}

const run = (program: string, ...argv: readonly string[]): string =>
  execFileSync(program, argv, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

let count = 0;

/** Starts one, with a service `shop.service` that answers at port 80 with the files of /srv/shop. */
export async function startMachine(name: string, options: TestMachineOptions): Promise<TestMachine> {
  const id = `bh${process.pid % 100_000}-${++count}`;
  const network = `10.${64 + (process.pid % 64)}.${count}`;
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-machine-"));
  const root = join(folder, "root");
  run("mount", "-t", "tmpfs", "-o", "size=2g,mode=700", "tmpfs", folder); // the temporary folder may be an overlay, which takes no other
  for (const part of ["upper", "work", "root"]) mkdirSync(join(folder, part));
  run("mount", "-t", "overlay", "-o", `lowerdir=/,upperdir=${folder}/upper,workdir=${folder}/work`, "overlay", root);
  furnish(root, options);
  run("ip", "netns", "add", id);
  run("ip", "link", "add", id, "type", "veth", "peer", "name", "eth0", "netns", id);
  run("ip", "addr", "add", `${network}.1/30`, "dev", id);
  run("ip", "link", "set", id, "up");
  run("ip", "-netns", id, "addr", "add", `${network}.2/30`, "dev", "eth0");
  for (const device of ["lo", "eth0"]) run("ip", "-netns", id, "link", "set", device, "up");
  const cgroups = cgroupsOf(id);
  const address = `${network}.2`;
  let running: ChildProcess | undefined;
  const powerOff = async (): Promise<void> => {
    if (running === undefined) return;
    const gone = once(running, "exit");
    running.kill("SIGKILL"); // unshare, whose child the kernel kills then, and with that all of the machine
    await gone;
    running = undefined;
    for (const group of cgroups) await untilEmpty(group);
  };
  const boot = async (): Promise<void> => {
    for (const group of cgroups) mkdirSync(group, { recursive: true });
    running = spawn(
      "unshare",
      [
        "--mount",
        "--pid",
        "--fork",
        "--kill-child=KILL",
        "--mount-proc",
        "--propagation",
        "slave",
        "sh",
        "-c",
        KEEPER,
        "sh",
        root,
        id,
        ...cgroups,
      ],
      { stdio: "ignore", env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
    );
    for (let tries = 0; tries < 600; tries++) {
      if (await answers(address, 22)) return;
      await sleep(50);
    }
    throw new Error(`${name} does not come up`);
  };
  const machine: TestMachine = {
    host: {
      name,
      address,
      port: 22,
      user: options.user ?? "root",
      zone: "a",
      hostKey: readFileSync(join(root, "etc/ssh/ssh_host_ed25519_key.pub"), "utf8").trim(),
      labels: {},
    },
    root,
    powerOff,
    boot,
    cable: (state) => void run("ip", "link", "set", id, state),
    inside: (script) => run("nsenter", "--target", String(firstProcess(cgroups[0] ?? "")), "--mount", "--net", "--pid", "sh", "-c", script),
    close: async () => {
      await powerOff();
      for (const mount of [root, folder]) run("umount", "-l", mount);
      run("ip", "netns", "delete", id);
      for (const group of cgroups) removeGroup(group);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await boot();
  } catch (error) {
    await machine.close();
    throw error;
  }
  return machine;
}

/** systemd-nspawn wants a tmpfs at /run; every machine a cgroup of its own, or their systemds end each other's services. */
const KEEPER = `
root=$1 id=$2; shift 2
for group; do echo $$ > "$group/cgroup.procs"; done
mkdir -p "$root/.netns" && touch "$root/.netns/net" && mount --bind "/run/netns/$id" "$root/.netns/net"
mount -t tmpfs -o mode=755 none /run
exec systemd-nspawn -q -D "$root" --machine="$id" --register=no --keep-unit --network-namespace-path="$root/.netns/net" --boot \\
  --console=read-only --kill-signal=SIGRTMIN+3 --link-journal=no --resolv-conf=off --timezone=off
`;

function furnish(root: string, { authorizedKey, erofs = true, user = "root" }: TestMachineOptions): void {
  const system = join(root, "etc/systemd/system");
  for (const entry of readdirSync(system)) if (entry.endsWith(".wants")) rmSync(join(system, entry), { recursive: true });
  for (const name of ["systemd-timesyncd.service", "systemd-networkd.service"]) {
    rmSync(join(system, name), { force: true });
    symlinkSync("/dev/null", join(system, name));
  }
  const enable = (name: string, target: string, text?: string): void => {
    if (text !== undefined) writeFileSync(join(system, name), text);
    mkdirSync(join(system, `${target}.wants`), { recursive: true });
    symlinkSync(text === undefined ? `/lib/systemd/system/${name}` : `../${name}`, join(system, `${target}.wants`, name));
  };
  enable("ssh.service", "multi-user.target");
  enable(
    "shop.service",
    "multi-user.target",
    "[Service]\nExecStart=/bin/busybox httpd -f -p 80 -h /srv/shop\n[Install]\nWantedBy=multi-user.target\n",
  );
  // a machine that can mount images has loop devices; systemd-nspawn makes none
  const loops = "for i in $(seq 0 127); do mknod -m 600 /dev/loop$i b 7 $i; done; mknod -m 600 /dev/loop-control c 10 237";
  if (erofs)
    enable(
      "loops.service",
      "local-fs.target",
      `[Unit]\nDefaultDependencies=no\nBefore=local-fs-pre.target\nWants=local-fs-pre.target\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c '${loops}'\n`,
    );
  const home = user === "root" ? "root" : `home/${user}`;
  if (user !== "root") {
    run("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", user);
    writeFileSync(join(root, "etc/sudoers.d", user), `${user} ALL=(root) NOPASSWD: ALL\n`, { mode: 0o440 });
  }
  rmSync(join(root, "root/.ssh"), { recursive: true, force: true });
  mkdirSync(join(root, home, ".ssh"), { recursive: true, mode: 0o700 });
  writeFileSync(join(root, home, ".ssh/authorized_keys"), readFileSync(authorizedKey), { mode: 0o600 });
  if (user !== "root") run("chroot", root, "chown", "-R", user, `/${home}`);
  rmSync(join(root, "srv/shop"), { recursive: true, force: true });
  const key = join(root, "etc/ssh/ssh_host_ed25519_key");
  for (const file of [key, `${key}.pub`]) rmSync(file, { force: true });
  run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key);
}

const CGROUPS = "/sys/fs/cgroup";

const cgroupsOf = (id: string): readonly string[] =>
  existsSync(join(CGROUPS, "cgroup.controllers"))
    ? [join(CGROUPS, id)]
    : ["systemd", "unified", "memory", "pids", "cpuacct"]
        .map((name) => join(CGROUPS, name))
        .filter((path) => existsSync(join(path, "cgroup.procs")))
        .map((path) => join(path, id));

function processesOf(group: string): readonly number[] {
  const own = readFileSync(join(group, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
  const below = readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...own, ...below.flatMap(({ name }) => processesOf(join(group, name)))];
}

/** Process 1 of the machine. */
function firstProcess(group: string): number {
  const found = processesOf(group).find((pid) => /^NSpid:.*\t1$/m.test(statusOf(pid)) && /^Name:\tsystemd$/m.test(statusOf(pid)));
  if (found === undefined) throw new Error("The machine is off");
  return found;
}

const statusOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
};

async function untilEmpty(group: string): Promise<void> {
  for (let tries = 0; tries < 1000 && processesOf(group).length > 0; tries++) await sleep(10);
}

function removeGroup(group: string): void {
  if (!statSync(group, { throwIfNoEntry: false })) return;
  for (const entry of readdirSync(group, { withFileTypes: true })) if (entry.isDirectory()) removeGroup(join(group, entry.name));
  rmdirSync(group);
}

function answers(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: 500 });
    const done = (is: boolean): void => (socket.destroy(), resolve(is));
    socket
      .once("connect", () => done(true))
      .once("timeout", () => done(false))
      .once("error", () => done(false));
  });
}
