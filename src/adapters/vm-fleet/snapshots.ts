import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { GATE_REACHED, guestAgent } from "../../core/boot/guest-agent.ts";
import { hopelessIn } from "../../core/boot/readiness.ts";
import { treeBelow, trimsOf } from "../../core/boot/trims.ts";
import { hexOf, type ImageDigest, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import type { BootParts } from "../../ports/boot-parts.ts";
import type { ImageExports } from "../../ports/image-exports.ts";
import type { ImageTrees, OpenTree } from "../../ports/image-trees.ts";
import type { Acceleration, Machines } from "../../ports/machines.ts";
import type { Store } from "../../ports/store.ts";
import { pathWithSystemFolders } from "../host-tools/find-program.ts";
import { snapshotsInUse } from "../fleet-notes/snapshots-in-use.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { namesIn } from "../local-store/files.ts";
import { QEMU } from "../machines/qemu-arguments.ts";
import { qmpOf, type Qmp } from "../machines/qmp.ts";
import { fileId } from "./process.ts";
import { qemuArguments, type Hardware, type SnapshotFiles } from "./qemu-command.ts";

/**
 * A machine of an image at the moment before the first service of that image starts, kept to go on from again and again:
 *
 *     <store>/vm-snapshots/<key>/snapshot.json   a SnapshotNote
 *                                kernel initrd root.erofs
 *                                memory state    of the machine
 *
 * It is made in a folder of work by a process that ends with this one, and moved into its place whole, under a lock. The machine was nobody
 * and was given nothing: no secret is in it. What belongs to images that the store has no more is removed when another one is made.
 */
export interface Snapshot {
  readonly key: string;
  readonly hardware: Hardware;
  readonly files: SnapshotFiles;
  /** Host path of its state. */
  readonly state: string;
}

interface SnapshotNote {
  readonly image: ImageDigest;
  readonly name: string;
  readonly hardware: Hardware;
  /** SHA-256 of the root's file system when it was made, and which file that was. */
  readonly root: { readonly digest: Sha256; readonly sizeBytes: number; readonly mtimeMs: number };
  readonly volume?: Sha256;
  readonly why: string;
  readonly madeAt: string;
  readonly bootMs: number;
}

export interface SnapshotParts {
  readonly store: Store;
  readonly trees: ImageTrees;
  readonly exports: ImageExports;
  readonly bootParts: BootParts;
  readonly machines: Pick<Machines, "acceleration">;
  /** Newest time in an image, seconds since 1970. */
  epochSeconds(image: ImageDigest): number;
}

const FOLDER = "vm-snapshots";
/** Part of the key: raise it when the same image would give another machine. */
const VERSION = 1;
/** A busy host without KVM takes minutes for a whole boot. */
const BOOT_TIMEOUT_MS = 400_000;
const POLL_MS = 100;

/** Makes snapshots, or finds those that were made. */
export function snapshots(parts: SnapshotParts) {
  const { store } = parts;
  const known = new Map<string, Snapshot>();
  const noteOf = (key: string): SnapshotNote | undefined => store.readNote(`${FOLDER}/${key}/snapshot.json`) as SnapshotNote | undefined;
  return {
    /** @throws INPUT_INVALID (no kernel in the image), SETUP_INCOMPLETE, VM_FAILED, STORE_FULL */
    ensure: async (release: FleetRelease, memoryMiB: number, signal: AbortSignal): Promise<Snapshot> => {
      const before = known.get(`${release.image} ${memoryMiB}`);
      if (before !== undefined && noteOf(before.key) !== undefined) return before;
      await parts.trees.ensureUnpacked(release.diffs);
      const tree = await parts.trees.open({ diffs: release.diffs }, { uncovered: store.root });
      try {
        const kernel = parts.bootParts.kernels(tree)[0];
        const acceleration = await parts.machines.acceleration(kernel?.hostPath);
        const hardware = { acceleration: acceleration.kind, memoryMiB, commandLine: commandLineOf(release, acceleration.kind) };
        const key = await keyOf(release, hardware);
        const found = snapshotIn(store.path(FOLDER, key), { key, hardware, release, store });
        if (noteOf(key) === undefined)
          await store.withLock(`vm-snapshot-${key}`, { signal }, async () => {
            if (noteOf(key) === undefined) await make(parts, { tree, release, hardware, key, acceleration }, signal);
          });
        known.set(`${release.image} ${memoryMiB}`, found);
        return found;
      } finally {
        await tree.close();
      }
    },
    /** Where a snapshot that was made lies. */
    find: (key: string, release: FleetRelease): Snapshot | undefined => {
      const note = noteOf(key);
      return note === undefined ? undefined : snapshotIn(store.path(FOLDER, key), { key, hardware: note.hardware, release, store });
    },
    /** The image that a process runs which has these files open: its root as it was when it was made, and the volume of that image. */
    identify: (key: string, open: ReadonlySet<string>, releases: readonly FleetRelease[]): ImageDigest | undefined => {
      const note = noteOf(key);
      const root = statIfThere(store.path(FOLDER, key, "root.erofs"));
      if (note === undefined || root === undefined || !open.has(fileId(root))) return undefined;
      if (Number(root.size) !== note.root.sizeBytes || Number(root.mtimeMs) !== note.root.mtimeMs) return undefined;
      const volumes = new Map(
        releases.flatMap(({ image, volume }) => {
          const stat = volume === undefined ? undefined : statIfThere(store.blobs.path(volume.blob));
          return stat === undefined ? [] : [[fileId(stat), { image, blob: volume?.blob }] as const];
        }),
      );
      const opened = [...open].flatMap((id) => volumes.get(id) ?? []);
      const found = releases.find(({ image }) => image === note.image);
      return found !== undefined && opened.every(({ blob }) => blob === note.volume) && opened.length > 0 === (note.volume !== undefined)
        ? found.image
        : undefined;
    },
  };
}

interface About {
  readonly key: string;
  readonly hardware: Hardware;
  readonly release: FleetRelease;
  readonly store: Store;
}

function snapshotIn(folder: string, { key, hardware, release, store }: About): Snapshot {
  const files = {
    kernel: join(folder, "kernel"),
    initrd: join(folder, "initrd"),
    root: join(folder, "root.erofs"),
    memory: join(folder, "memory"),
    ...(release.volume === undefined ? {} : { volume: store.blobs.path(release.volume.blob) }),
  };
  return { key, hardware, files, state: join(folder, "state") };
}

/** At most 2,048 bytes, beyond which the kernel dies silently. Without KVM, what protects processes from each other costs a fifth of the time. */
function commandLineOf(release: FleetRelease, acceleration: Acceleration["kind"]): string {
  const words = [
    "root=/dev/vda",
    "rootfstype=erofs",
    "console=ttyS0",
    "panic=-1",
    "quiet",
    "systemd.show_status=error",
    "systemd.log_color=0",
  ];
  return [
    ...words,
    `systemd.machine_id=${hexOf(release.image).slice(0, 32)}`,
    ...(acceleration === "tcg" ? ["mitigations=off", "module_blacklist=kvm,kvm_amd,kvm_intel"] : []),
    ...(release.volume === undefined ? [] : [`bh.volume=/dev/vdb,erofs,${release.volume.path}`]),
    "bh.trim",
  ].join(" ");
}

/** Everything that the state of a machine depends on. With KVM also the processor: a guest remembers what it can do. */
async function keyOf(release: FleetRelease, hardware: Hardware): Promise<string> {
  const names = { kernel: "kernel", initrd: "initrd", root: "root", memory: "memory", ...(release.volume && { volume: "volume" }) };
  const processor = /^flags\s*:.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "";
  const all = [
    ...[VERSION, release.image, release.volume ?? null, await qemuVersion(), qemuArguments(hardware, names, { as: "clone", serial: "" })],
    guestAgent(new Uint8Array()).map(({ path, content, target }) => [path, String(content), target ?? ""]),
    hardware.acceleration === "kvm" ? processor : "",
  ];
  return createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 32);
}

async function qemuVersion(): Promise<string> {
  const child = spawn(QEMU, ["--version"], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { PATH: pathWithSystemFolders(process.env["PATH"]), LC_ALL: "C" },
  });
  child.once("error", () => undefined); // then it says nothing
  return text(child.stdout);
}

interface Making {
  readonly tree: OpenTree;
  readonly release: FleetRelease;
  readonly hardware: Hardware;
  readonly key: string;
  readonly acceleration: Acceleration;
}

async function make(parts: SnapshotParts, { tree, release, hardware, key, acceleration }: Making, signal: AbortSignal): Promise<void> {
  const { store } = parts;
  const id = `vm-snapshot-${process.pid}-${key.slice(0, 8)}-${Date.now().toString(36)}`;
  const work = store.workFolder(id);
  const folder = join(work, "snapshot");
  mkdirSync(folder, { mode: 0o700 });
  try {
    const snapshot = snapshotIn(folder, { key, hardware, release, store });
    const { files } = snapshot;
    const epochSeconds = parts.epochSeconds(release.image);
    const extra = treeBelow("trim", [...trimsOf(hostImageRoot(tree.hostPath)), ...guestAgent(readFileSync("/bin/busybox"))]);
    const boot = await parts.bootParts.build(tree, { epochSeconds, extra, signal });
    copyFileSync(boot.kernel.hostPath, files.kernel);
    writeFileSync(files.initrd, boot.initrd);
    const about = { epochSeconds, identity: release.image };
    const root = await parts.exports.tree(tree, "erofs", about, { target: files.root, replace: false, signal, onBytes: () => undefined });
    const startedAt = performance.now();
    await bootAndSave(snapshot, join(work, "serial.log"), signal);
    const { mtimeMs } = statSync(files.root);
    const note: SnapshotNote = {
      image: release.image,
      name: release.name,
      hardware,
      root: { digest: root.digest ?? release.image, sizeBytes: root.sizeBytes, mtimeMs: Math.trunc(mtimeMs) },
      ...(release.volume === undefined ? {} : { volume: release.volume.blob }),
      why: acceleration.why,
      madeAt: new Date().toISOString(),
      bootMs: Math.round(performance.now() - startedAt),
    };
    for (const file of [files.kernel, files.initrd, files.root, files.memory, snapshot.state]) syncToDisk(file); // the note is true after a power cut, too
    writeFileSync(join(folder, "snapshot.json"), `${JSON.stringify(note, null, 2)}\n`);
    mkdirSync(store.path(FOLDER), { recursive: true, mode: 0o700 });
    removeStale(store, key, note);
    rmSync(store.path(FOLDER, key), { recursive: true, force: true }); // without a note it is no snapshot
    renameSync(folder, store.path(FOLDER, key));
  } finally {
    store.releaseWorkFolder(id);
  }
}

async function bootAndSave({ hardware, files, state }: Snapshot, serial: string, signal: AbortSignal): Promise<void> {
  writeFileSync(serial, "");
  const arguments_ = [...qemuArguments(hardware, files, { as: "snapshot", serial }), "-qmp", "stdio"];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", QEMU, ...arguments_], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: pathWithSystemFolders(process.env["PATH"]), LC_ALL: "C" },
  });
  const complaints = text(child.stderr);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
  try {
    const qmp = qmpOf(child);
    for (const end = performance.now() + BOOT_TIMEOUT_MS; ; await delay(POLL_MS)) {
      const said = readFileSync(serial, "utf8").replaceAll("\r", "");
      if (GATE_REACHED.test(said)) break;
      if (signal.aborted) throw new BakehouseError("CANCELLED", "Stopped while a machine was starting");
      const hopeless = hopelessIn(said);
      const why =
        hopeless ??
        (child.exitCode !== null ? "the machine switched itself off" : performance.now() > end ? "it did not start in time" : undefined);
      if (why !== undefined) throw new Error(`${why}\n${said.split("\n").slice(-10).join("\n")}`.trim());
    }
    await save(qmp, state);
  } catch (cause) {
    if (cause instanceof BakehouseError) throw cause;
    child.kill("SIGKILL");
    const said = (await complaints).trim();
    throw new BakehouseError(
      "VM_FAILED",
      `No machine could be started from the image: ${said === "" ? (cause as Error).message : said}`,
      {},
      cause,
    );
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

/** The memory is in its file already; the state is what the devices know. */
async function save(qmp: Qmp, state: string): Promise<void> {
  await qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "x-ignore-shared", state: true }] });
  await qmp.execute("stop");
  await qmp.execute("migrate", { uri: `exec:cat >${shellWord(state)}` });
  for (;;) {
    const { status } = (await qmp.execute("query-migrate")) as { readonly status?: string };
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") throw new Error(`QEMU could not save the machine: ${status}`);
    await delay(20);
  }
}

export const shellWord = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** What belongs to images that are gone, or that this one takes the place of, and from which nothing runs. */
function removeStale(store: Store, newKey: string, { image, hardware }: SnapshotNote): void {
  const images = new Set(store.images.entries().map(({ digest }) => digest));
  const used = snapshotsInUse(store);
  for (const key of namesIn(store.path(FOLDER))) {
    const note = store.readNote(`${FOLDER}/${key}/snapshot.json`) as SnapshotNote | undefined;
    if (note === undefined || used.has(key) || key === newKey) continue;
    const isReplaced =
      note.image === image && note.hardware.acceleration === hardware.acceleration && note.hardware.memoryMiB === hardware.memoryMiB;
    if (isReplaced || !images.has(note.image)) rmSync(store.path(FOLDER, key), { recursive: true, force: true });
  }
}

function syncToDisk(file: string): void {
  const descriptor = openSync(file, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function statIfThere(path: string) {
  return statSync(path, { bigint: true, throwIfNoEntry: false });
}
