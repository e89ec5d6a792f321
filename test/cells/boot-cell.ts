import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";
import type { ImageDigest, Sha256 } from "../../src/core/digest.ts";
import { inject } from "vitest";
import { ANNOTATIONS } from "../../src/core/image/oci.ts";
import { findImage } from "../../src/engine/find-image.ts";
import type { Store } from "../../src/ports/store.ts";

export interface CellOptions {
  readonly store: Store;
  /** Name or digest of an image, or of a volume, which is mounted in its root image. */
  readonly image: string;
  /** Files that the machine is given beside the image: path → content. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Answers HTTP at 127.0.0.1:8999 in the cell's network, before it boots. */
  readonly serve?: RequestListener;
  /** More arguments for systemd-nspawn, such as `--set-credential=…`. */
  readonly arguments?: readonly string[];
}

export interface Cell {
  /** Asks until something answers with a status below 500. @throws with the console after 90 s */
  fetch(url: string): Promise<{ readonly status: number; readonly body: string }>;
  /** Waits until systemd has started everything; `running`, or `degraded` when a unit has failed. @throws after 120 s */
  booted(): Promise<string>;
  /** Runs a program inside; its output. @throws when it fails */
  run(...argv: readonly string[]): Promise<string>;
  /** Everything that the console has shown. */
  console(): string;
  /** Ends the machine and removes what it was given. */
  stop(): Promise<void>;
}

export const SERVER = "http://127.0.0.1:8999";

/**
 * Boots an image with systemd as PID 1, in namespaces of its own: nothing of it is joined to the host's network, and
 * nothing of it outlives the process that holds it. Costs 0.5 s and 20 MB.
 */
export async function bootCell(options: CellOptions): Promise<Cell> {
  const tree = treeOf(options.store, options.image);
  const folder = mkdtempSync(join(inject("runFolder"), "cell-")); // short, since a socket's path has at most 107 bytes
  const cgroups = makeCgroups(`${CGROUP}${process.pid}-${folder.slice(-6)}`);
  const shown: string[] = [];
  const holder = spawn(
    "unshare",
    [
      "--mount",
      "--net",
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
      "sh",
      join(import.meta.dirname, "boot-cell.sh"),
      ...(options.arguments ?? []),
    ],
    {
      stdio: ["pipe", "pipe", "pipe"],
      env: {
        PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
        CGROUPS: cgroups.join(" "),
        ...tree,
        ...extraFiles(folder, options.files),
      },
    },
  );
  const ended = once(holder, "exit");
  holder.stdout.on("data", (chunk: Buffer) => shown.push(chunk.toString()));
  holder.stderr.on("data", (chunk: Buffer) => shown.push(chunk.toString()));
  const server = createServer(options.serve).listen(join(folder, "server.sock"));
  const relays: ChildProcess[] = [];
  const isAlive = (): boolean => holder.exitCode === null && holder.signalCode === null;
  const stop = async (): Promise<void> => {
    for (const relay of relays) relay.kill("SIGKILL");
    if (isAlive()) holder.kill("SIGKILL"); // --kill-child takes the machine with it
    await ended;
    server.close();
    server.closeAllConnections();
    await removeCgroups(cgroups);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await until(() => shown.join("").includes("ready\n") || !isAlive());
    if (options.serve !== undefined) relays.push(await relay(inside(holder.pid), join(folder, "server.sock")));
    holder.stdin.write("go\n");
  } catch (error) {
    await stop();
    throw error;
  }
  const console = (): string => stripVTControlCharacters(shown.join(""));
  const failure = (what: string): Error => new Error(`${what}\n${console().split("\n").slice(-60).join("\n")}`);
  return {
    console,
    stop,
    fetch: async (url) => {
      const asked = await finished("nsenter", [
        "--target",
        String(inside(holder.pid)),
        "--net",
        "--",
        process.execPath,
        "--input-type=module",
        "--eval",
        ASK,
        url,
      ]);
      if (asked.status !== 0) throw failure(`${url} did not answer: ${asked.stderr}`);
      return JSON.parse(asked.stdout) as { status: number; body: string };
    },
    booted: async () => {
      let state = "";
      await until(async () => {
        state = (await enter(initOf(inside(holder.pid)), ["systemctl", "is-system-running", "--wait"])).stdout.trim();
        return state === "running" || state === "degraded";
      }, 120).catch((error: unknown) => {
        throw failure(`${String(error)}: ${state}`);
      });
      return state;
    },
    run: async (...argv) => {
      const ran = await enter(initOf(inside(holder.pid)), argv);
      if (ran.status !== 0) throw failure(`${argv.join(" ")} → ${ran.status}\n${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
  };
}

/** Asks until there is an answer, in the network namespace of the cell. */
const ASK = `const end = Date.now() + 90_000; let last = "";
while (Date.now() < end) {
  try {
    const answer = await fetch(process.argv[1], { redirect: "manual", signal: AbortSignal.timeout(10_000) });
    const body = await answer.text();
    if (answer.status < 500) { process.stdout.write(JSON.stringify({ status: answer.status, body })); process.exit(0); }
    last = answer.status + " " + body.slice(0, 200);
  } catch (error) { last = String(error.cause?.code ?? error); }
  await new Promise((go) => setTimeout(go, 100));
}
process.stderr.write(last); process.exit(1);`;

/** Hands every connection to 127.0.0.1:8999 of a namespace to a socket of the host. */
const RELAY = `import net from "node:net";
net.createServer((from) => { const to = net.connect(process.argv[1]); from.pipe(to).pipe(from); from.on("error", () => to.destroy()); to.on("error", () => from.destroy()); })
  .listen(8999, "127.0.0.1", () => process.stdout.write("listening"));`;

async function relay(pid: number, socket: string): Promise<ChildProcess> {
  const child = spawn(
    "nsenter",
    ["--target", String(pid), "--net", "--", process.execPath, "--input-type=module", "--eval", RELAY, socket],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  await Promise.race([once(child.stdout, "data"), once(child, "exit")]);
  return child;
}

/** The overlay's lower folders and the volume, as boot-cell.sh wants them. */
function treeOf(store: Store, reference: string): Record<string, string> {
  const { digest } = findImage(store, reference);
  const manifest = store.images.manifest(digest);
  const lowers = (image: ImageDigest): string =>
    store.images
      .config(image)
      .rootfs.diff_ids.toReversed()
      .map((diff) => store.diffs.folder(diff))
      .join(":");
  if (manifest.subject === undefined) return { LOWERS: lowers(digest) };
  const volumePath = manifest.annotations?.[ANNOTATIONS.volumePath];
  const blob = manifest.layers[0]?.digest as Sha256;
  return {
    LOWERS: lowers(manifest.subject.digest),
    ...(volumePath === undefined ? {} : { VOLUME: store.blobs.path(blob), VOLUME_PATH: volumePath }),
  };
}

function extraFiles(folder: string, files: CellOptions["files"]): Record<string, string> {
  if (files === undefined) return {};
  const extra = join(folder, "extra");
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(extra, path)), { recursive: true });
    writeFileSync(join(extra, path), content);
  }
  return { EXTRA: extra };
}

/** The process in the new PID namespace: the child of `unshare`, whose namespaces are the cell's. */
const inside = (holder: number | undefined): number => childrenOf(holder ?? 0)[0] ?? 0;

const childrenOf = (pid: number): readonly number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
};

interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never the synchronous kind: the machine may be waiting for the server of this process. */
async function finished(program: string, argv: readonly string[]): Promise<Finished> {
  const child = spawn(program, argv, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8" },
  });
  const [[status], stdout, stderr] = await Promise.all([
    once(child, "close") as Promise<[number | null]>,
    text(child.stdout),
    text(child.stderr),
  ]);
  return { status, stdout, stderr };
}

/** Runs a program in all namespaces of a process. */
async function enter(pid: number | undefined, argv: readonly string[]): Promise<Finished> {
  if (pid === undefined) return { status: null, stdout: "", stderr: "the machine is not up" };
  return finished("nsenter", ["--target", String(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--", ...argv]);
}

/** systemd of the cell: the only process below whose innermost number is 1. */
function initOf(pid: number): number | undefined {
  return childrenOf(pid).find((child) => /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${child}/status`, "utf8")));
}

/** What a killed test leaves behind is removed by the next one. */
const CGROUP = "bakehouse-cell-";

/** A group in every hierarchy that systemd looks at: it must not see the host's. */
function makeCgroups(name: string): readonly string[] {
  const root = "/sys/fs/cgroup";
  const hierarchies = existsSync(join(root, "cgroup.controllers"))
    ? [""]
    : ["systemd", "unified", "memory", "pids", "cpuacct"].filter((one) => existsSync(join(root, one, "cgroup.procs")));
  return hierarchies.map((hierarchy) => {
    const group = join(root, hierarchy, name);
    for (const stale of readdirSync(join(root, hierarchy)).filter(isStale)) rmdirBelow(join(root, hierarchy, stale));
    mkdirSync(group);
    return group;
  });
}

const isStale = (name: string): boolean => name.startsWith(CGROUP) && !existsSync(`/proc/${name.slice(CGROUP.length).split("-")[0] ?? ""}`);

function rmdirBelow(group: string): void {
  for (const entry of readdirSync(group, { withFileTypes: true })) if (entry.isDirectory()) rmdirBelow(join(group, entry.name));
  rmdirSync(group);
}

/** Its processes are dead; the kernel lets go of them a moment later. */
async function removeCgroups(groups: readonly string[]): Promise<void> {
  for (const group of groups) {
    await until(() => {
      try {
        rmdirBelow(group);
      } catch {
        return !existsSync(group);
      }
      return true;
    });
  }
}

async function until(isDone: () => boolean | Promise<boolean>, seconds = 30): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await isDone()); await new Promise((go) => setTimeout(go, 20)))
    if (Date.now() > end) throw new Error(`waited ${seconds} s in vain`);
}
