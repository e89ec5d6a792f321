import type { Sha256 } from "../core/digest.ts";
import { figuresOf, type CakeComparison, type CakeFigures, type LaunchRun, type MirrorState } from "../core/cakes/comparison.ts";
import { FABRIC } from "../core/cell/fabric.ts";
import { LAUNCH_SETTINGS, type LaunchSetting } from "../core/launch/launch-script.ts";
import type { Cake } from "../core/recipe/model.ts";
import type { Cell, Cells } from "../ports/cells.ts";
import type { Clock } from "../ports/host.ts";
import type { LaunchMirror, LaunchMirrors } from "../ports/launch-mirrors.ts";
import type { Store } from "../ports/store.ts";
import { readImage } from "./image-content.ts";
import { launchFiles } from "./launch-files.ts";

export interface CompareCakesParts {
  readonly store: Store;
  readonly cells: Cells;
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
  readonly runs: number;
  readonly mirrors: readonly MirrorState[];
  /** Where a machine that is ready answers with a status below 400. */
  readonly url: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Told before each launch; `run` 0 is one that is not counted, which fills what mirrors keep. */
  onLaunch(launch: { readonly recipe: string; readonly mirror: MirrorState; readonly run: number }): void;
}

/** Launches each cake, one machine at a time, in each state of the mirror. @throws IMAGE_NOT_FOUND, CELL_FAILED, CANCELLED */
export async function compareCakes(
  parts: CompareCakesParts,
  cakes: readonly BakedCake[],
  options: CompareCakesOptions,
): Promise<CakeComparison> {
  const figures: CakeFigures[] = [];
  for (const cake of cakes) {
    if (settingsRead(parts.store, cake.top, parts.readBlob).includes("BAKEHOUSE_MIRROR")) {
      options.onLaunch({ recipe: cake.recipe, mirror: { kind: "good" }, run: 0 });
      await launch(parts, cake, { kind: "good" }, options);
    }
  }
  for (const mirror of options.mirrors) {
    for (const cake of cakes) {
      const runs: LaunchRun[] = [];
      for (let run = 1; run <= options.runs; run++) {
        options.onLaunch({ recipe: cake.recipe, mirror, run });
        runs.push(await launch(parts, cake, mirror, options));
      }
      figures.push(figuresOf(cake.recipe, cake.cake, mirror, runs));
    }
  }
  return { as: "cell", runs: options.runs, figures };
}

const PORT = 8999;
const SERVER = `http://${FABRIC.gateway}:${PORT}`;

/** Where the fabric's server has what each setting names. */
const SETTINGS: Readonly<Partial<Record<LaunchSetting, string>>> = {
  BAKEHOUSE_PAYLOAD_URL: `${SERVER}/`,
  BAKEHOUSE_MIRROR: `${SERVER}/mirror/debian`,
};

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
function givenTo(parts: CompareCakesParts, top: string): Given {
  const read = settingsRead(parts.store, top, parts.readBlob);
  if (readImage(parts.store, top).kind !== "launch") return { files: {}, payloads: new Map() };
  const settings = Object.fromEntries(Object.entries(SETTINGS).filter(([name]) => read.includes(name as LaunchSetting)));
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

async function launch(parts: CompareCakesParts, cake: BakedCake, state: MirrorState, options: CompareCakesOptions): Promise<LaunchRun> {
  const { signal } = options;
  const { entry, name, source } = readImage(parts.store, cake.top);
  const { files, payloads } = givenTo(parts, cake.top);
  const mirror = parts.mirrors.open({ state, payloads, signal });
  const startedAt = parts.clock.elapsedMs();
  let cell: Cell | undefined;
  try {
    cell = await parts.cells.start(
      {
        image: { digest: entry.digest, name },
        source,
        purpose: "check",
        publish: [],
        files,
        serve: [{ port: PORT, onConnection: (socket) => mirror.onConnection(socket) }],
      },
      signal,
    );
    return await untilReady(parts, cell, mirror, startedAt, options);
  } finally {
    await cell?.stop();
    mirror.close();
  }
}

const PAUSE_MS = 20;
/** How long a machine that has started everything may still take to answer. */
const AFTER_BOOT_MS = 3000;

async function untilReady(
  parts: CompareCakesParts,
  cell: Cell,
  mirror: LaunchMirror,
  startedAt: number,
  { url, timeoutMs, signal }: CompareCakesOptions,
): Promise<LaunchRun> {
  const elapsed = (): number => parts.clock.elapsedMs() - startedAt;
  let bootedAt: number | undefined;
  void cell.booted(timeoutMs).then(
    (state) => void (state === "starting" ? undefined : (bootedAt = elapsed())),
    () => (bootedAt = elapsed()),
  );
  for (;;) {
    signal.throwIfAborted();
    const status = await statusOf(cell, url);
    if (status !== undefined && status < 400) return { readyMs: Math.round(elapsed()), fetchedBytes: mirror.sentBytes() };
    const isLate = bootedAt !== undefined && elapsed() > bootedAt + AFTER_BOOT_MS;
    if (isLate || elapsed() > timeoutMs || !cell.isAlive())
      return { fetchedBytes: mirror.sentBytes(), failure: await failureOf(cell, isLate, timeoutMs) };
    await parts.pause(PAUSE_MS);
  }
}

async function statusOf(cell: Cell, url: string): Promise<number | undefined> {
  try {
    return (await cell.http({ url, timeoutMs: 5000 })).status;
  } catch {
    return undefined; // not yet
  }
}

async function failureOf(cell: Cell, hasBooted: boolean, timeoutMs: number): Promise<string> {
  if (!cell.isAlive()) return "the machine ended";
  const { stdout } = await cell.exec(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], { timeoutMs: 10_000 });
  const units = stdout.split("\n").flatMap((line) => line.split(" ")[0] || []);
  const failed = units.length === 0 ? "" : `; failed: ${units.join(", ")}`;
  return hasBooted
    ? `started everything, but does not answer${failed}`
    : `no healthy answer within ${Math.round(timeoutMs / 1000)} s${failed}`;
}
