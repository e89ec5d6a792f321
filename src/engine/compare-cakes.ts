import type { Sha256 } from "../core/digest.ts";
import {
  figuresOf,
  type CakeComparison,
  type CakeFigures,
  type LaunchPlatformName,
  type LaunchRun,
  type MirrorState,
} from "../core/cakes/comparison.ts";
import { LAUNCH_SETTINGS, type LaunchSetting } from "../core/launch/launch-script.ts";
import type { Cake } from "../core/recipe/model.ts";
import type { Clock } from "../ports/host.ts";
import type { LaunchMirror, LaunchMirrors } from "../ports/launch-mirrors.ts";
import type { Store } from "../ports/store.ts";
import { readImage, type ImageContent } from "./image-content.ts";
import { launchFiles } from "./launch-files.ts";
import type { Launched, LaunchPlatform } from "./launch-platforms.ts";

export interface CompareCakesParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly mirrors: LaunchMirrors;
  /** Content of a blob. */
  readBlob(blob: Sha256): Buffer;
  pause(ms: number): Promise<void>;
}

/** A recipe that was baked, and what of it is launched. */
export interface BakedCake {
  readonly recipe: string;
  readonly cake: Cake;
  /** Digest or name of the image, volume or launch at its top. */
  readonly top: string;
}

export interface CompareCakesOptions {
  /** Launches of each cake on a platform, in each state of the mirror. */
  runsOn(platform: LaunchPlatformName): number;
  readonly mirrors: readonly MirrorState[];
  /** Where a machine that is ready answers with a status below 400, on port 80. */
  readonly path: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told before each launch; `run` 0 is one that is not counted, which fills what mirrors keep. */
  onLaunch(launch: {
    readonly recipe: string;
    readonly platform: LaunchPlatformName;
    readonly mirror: MirrorState;
    readonly run: number;
  }): void;
}

/**
 * Launches each cake on each platform, one machine at a time, in each state of the mirror. Every mirror is filled by a launch on
 * the first platform.
 *
 * @throws IMAGE_NOT_FOUND, INPUT_INVALID (a virtual machine without a kernel), CELL_FAILED, VM_FAILED, CANCELLED
 */
export async function compareCakes(
  parts: CompareCakesParts,
  platforms: readonly LaunchPlatform[],
  cakes: readonly BakedCake[],
  options: CompareCakesOptions,
): Promise<CakeComparison> {
  const { signal } = options;
  for (const platform of platforms) for (const cake of cakes) await platform.prepare(startedFrom(parts.store, cake), signal);
  const [first] = platforms;
  for (const cake of cakes) {
    if (first === undefined || !settingsRead(parts.store, cake.top, parts.readBlob).includes("BAKEHOUSE_MIRROR")) continue;
    options.onLaunch({ recipe: cake.recipe, platform: first.name, mirror: { kind: "good" }, run: 0 });
    await launch(parts, first, cake, { kind: "good" }, options);
  }
  const figures: CakeFigures[] = [];
  for (const platform of platforms) {
    for (const mirror of options.mirrors) {
      for (const { recipe, ...cake } of cakes) {
        const runs: LaunchRun[] = [];
        for (let run = 1; run <= options.runsOn(platform.name); run++) {
          options.onLaunch({ recipe, platform: platform.name, mirror, run });
          runs.push(await launch(parts, platform, { recipe, ...cake }, mirror, options));
        }
        figures.push(figuresOf({ recipe, cake: cake.cake, platform: platform.name, mirror }, runs));
      }
    }
  }
  return { figures };
}

/** The image that machines of a cake start from: its own, or that of its launch. */
function startedFrom(store: Store, { top }: BakedCake): ImageContent {
  const content = readImage(store, top);
  return content.kind === "launch" && content.root !== undefined ? readImage(store, content.root) : content;
}

const PORT = 8999;

/** Where a server has what each setting names. */
const settingsAt = (server: string): Readonly<Partial<Record<LaunchSetting, string>>> => ({
  BAKEHOUSE_PAYLOAD_URL: `http://${server}:${PORT}/`,
  BAKEHOUSE_MIRROR: `http://${server}:${PORT}/mirror/debian`,
});

interface Given {
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  readonly payloads: ReadonlyMap<string, Buffer>;
}

/** The settings that a launch reads; none for an image. */
function settingsRead(store: Store, top: string, readBlob: (blob: Sha256) => Buffer): readonly LaunchSetting[] {
  if (readImage(store, top).kind !== "launch") return [];
  const { files } = launchFiles(store, top, {}, (blob) => readBlob(blob).toString());
  const settings = files.find(({ name }) => name === "launch.env")?.content;
  const text = typeof settings === "string" ? settings : "";
  return (Object.keys(LAUNCH_SETTINGS) as LaunchSetting[]).filter((name) => text.includes(`${name}=`));
}

/** What the machine is given: for a launch, the seed of cloud-init's NoCloud with where payload and mirror are. */
function givenTo(parts: CompareCakesParts, top: string, server: string): Given {
  const read = settingsRead(parts.store, top, parts.readBlob);
  if (readImage(parts.store, top).kind !== "launch") return { files: {}, payloads: new Map() };
  const settings = Object.fromEntries(Object.entries(settingsAt(server)).filter(([name]) => read.includes(name as LaunchSetting)));
  const { files } = launchFiles(parts.store, top, settings, (blob) => parts.readBlob(blob).toString());
  const content = (name: string): string => {
    const found = files.find((file) => file.name === name)?.content;
    return typeof found === "string" ? found : "";
  };
  return {
    files: Object.fromEntries(["user-data", "meta-data"].map((name) => [`/var/lib/cloud/seed/nocloud/${name}`, content(name)])),
    payloads: new Map(files.flatMap(({ name, content: is }) => (typeof is === "string" ? [] : [[name, parts.readBlob(is.blob)]]))),
  };
}

async function launch(
  parts: CompareCakesParts,
  platform: LaunchPlatform,
  cake: BakedCake,
  state: MirrorState,
  options: CompareCakesOptions,
): Promise<LaunchRun> {
  const { signal, timeoutMs } = options;
  const image = startedFrom(parts.store, cake);
  const { files, payloads } = givenTo(parts, cake.top, platform.server);
  const mirror = parts.mirrors.open({ state, payloads, signal });
  const startedAt = parts.clock.elapsedMs();
  let machine: Launched | undefined;
  try {
    const serve = [{ port: PORT, onConnection: (socket: NodeJS.ReadWriteStream) => mirror.onConnection(socket) }];
    machine = await platform.start(image, { files, serve, timeoutMs }, signal);
    return await untilReady(parts, { machine, platform, mirror, startedAt }, options);
  } finally {
    await machine?.stop();
    mirror.close();
  }
}

interface Launching {
  readonly machine: Launched;
  readonly platform: LaunchPlatform;
  readonly mirror: LaunchMirror;
  readonly startedAt: number;
}

async function untilReady(
  parts: CompareCakesParts,
  { machine, platform, mirror, startedAt }: Launching,
  { path, timeoutMs, signal }: CompareCakesOptions,
): Promise<LaunchRun> {
  const elapsed = (): number => parts.clock.elapsedMs() - startedAt;
  let bootedAt: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const status = await machine.status(path);
    if (status !== undefined && status < 400) return { readyMs: Math.round(elapsed()), fetchedBytes: mirror.sentBytes() };
    if (machine.hasBooted()) bootedAt ??= elapsed();
    const isLate = bootedAt !== undefined && elapsed() > bootedAt + platform.answersWithinMs;
    if (isLate || elapsed() > timeoutMs || !machine.isAlive())
      return { fetchedBytes: mirror.sentBytes(), failure: await failureOf(machine, isLate, timeoutMs) };
    await parts.pause(platform.lookEveryMs);
  }
}

async function failureOf(machine: Launched, hasBooted: boolean, timeoutMs: number): Promise<string> {
  if (!machine.isAlive()) return "the machine ended";
  const units = await machine.failedUnits();
  const failed = units.length === 0 ? "" : `; failed: ${units.join(", ")}`;
  return hasBooted
    ? `started everything, but does not answer${failed}`
    : `no healthy answer within ${Math.round(timeoutMs / 1000)} s${failed}`;
}
