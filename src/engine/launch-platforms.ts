import { MACHINE_NETWORK } from "../core/boot/machine-network.ts";
import { readinessIn } from "../core/boot/readiness.ts";
import type { LaunchPlatformName } from "../core/cakes/comparison.ts";
import { FABRIC } from "../core/cell/fabric.ts";
import type { Cells, Serve } from "../ports/cells.ts";
import type { Machine } from "../ports/machines.ts";
import type { ImageContent } from "./image-content.ts";
import { openImageMachine, type ImageMachine, type ImageMachineParts } from "./image-machine.ts";

/** A machine of either kind that is coming up. */
export interface Launched {
  /** Of an answer at a path of port 80; undefined while there is none. */
  status(path: string): Promise<number | undefined>;
  /** Whether it has said that everything was started, well or not. */
  hasBooted(): boolean;
  isAlive(): boolean;
  failedUnits(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** What a machine is started with besides its image. */
export interface LaunchInputs {
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  readonly serve: readonly Serve[];
  readonly timeoutMs: number;
}

/** Where machines are launched. */
export interface LaunchPlatform {
  readonly name: LaunchPlatformName;
  /** Where a machine finds what it is served. */
  readonly server: string;
  /** Between two looks at a machine: each costs an emulated one time in which it would start. */
  readonly lookEveryMs: number;
  /** How long a machine that has started everything may still take to answer: without KVM, all takes ten times as long. */
  readonly answersWithinMs: number;
  /** Makes what machines of the image start from, as a cloud has a disk before it starts machines from it. */
  prepare(image: ImageContent, signal: AbortSignal): Promise<void>;
  start(image: ImageContent, inputs: LaunchInputs, signal: AbortSignal): Promise<Launched>;
  close(): Promise<void>;
}

/** How long one answer may take: a machine that is starting up may be too busy. */
const ANSWER_MS = 5000;

export const cellPlatform = (cells: Cells): LaunchPlatform => ({
  name: "cell",
  server: FABRIC.gateway,
  lookEveryMs: 20,
  answersWithinMs: 3000,
  prepare: () => Promise.resolve(),
  start: async ({ entry, name, source }, { files, serve, timeoutMs }, signal) => {
    const cell = await cells.start({ image: { digest: entry.digest, name }, source, purpose: "check", publish: [], files, serve }, signal);
    let hasBooted = false;
    void cell.booted(timeoutMs).then(
      (state) => (hasBooted = state !== "starting"),
      () => (hasBooted = true),
    );
    return {
      status: (path) =>
        cell.http({ url: `http://127.0.0.1${path}`, timeoutMs: ANSWER_MS }).then(
          ({ status }) => status,
          () => undefined, // not yet
        ),
      hasBooted: () => hasBooted,
      isAlive: () => cell.isAlive(),
      failedUnits: async () => {
        const { stdout } = await cell.exec(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], { timeoutMs: 10_000 });
        return stdout.split("\n").flatMap((line) => line.split(" ")[0] || []);
      },
      stop: () => cell.stop(),
    };
  },
  close: () => Promise.resolve(),
});

/** apt keeps its lists in the memory that an overlaid root has for changes: half of this. */
const MEMORY_MIB = 1024;
/** What cloud-init does last, after everything that the default target wants; an image without it has started when that is reached. */
const LAST_UNIT = "cloud-final.service";

/** Virtual machines by the image's own kernel, with nothing left out: what a cloud starts, but for its firmware. */
export function machinePlatform(parts: ImageMachineParts): LaunchPlatform {
  const opened = new Map<string, Promise<ImageMachine>>();
  const open = (image: ImageContent, signal: AbortSignal): Promise<ImageMachine> => {
    const machine = opened.get(image.entry.digest) ?? openImageMachine(parts, image, signal);
    opened.set(image.entry.digest, machine);
    return machine;
  };
  return {
    name: "vm",
    server: MACHINE_NETWORK.server,
    lookEveryMs: 100,
    answersWithinMs: 30_000,
    prepare: async (image, signal) => (await open(image, signal)).prepare("direct", signal),
    start: async (image, { files, serve }, signal) => {
      const machine = await open(image, signal);
      const boot = { trimmed: false, tell: true, units: [LAST_UNIT], ports: [80], memoryMiB: MEMORY_MIB } as const;
      return launchedMachine(await machine.start({ ...boot, files, serve }, signal));
    },
    close: async () => {
      for (const machine of opened.values())
        await machine.then(
          (made) => made.close(),
          () => undefined, // it was told when it was asked for
        );
    },
  };
}

const launchedMachine = (machine: Machine): Launched => ({
  status: async (path) => (await machine.http({ port: 80, path, timeoutMs: ANSWER_MS }))?.status,
  hasBooted: () => readinessIn(machine.serial()) !== undefined,
  isAlive: () => machine.isAlive(),
  failedUnits: () => Promise.resolve(readinessIn(machine.serial())?.failed ?? []),
  stop: () => machine.stop(),
});
