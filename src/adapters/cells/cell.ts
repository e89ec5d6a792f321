import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { BakehouseError } from "../../core/errors.ts";
import type { Cell, EgressAttempt, MountedSource } from "../../ports/cells.ts";
import type { Store } from "../../ports/store.ts";
import { readIfThere } from "../local-store/files.ts";
import { httpThroughKeeper } from "./http-through-keeper.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { askKeeper, connectThroughKeeper, keeperRoot, machineInit, MACHINE_ROOT } from "./keeper.ts";
import { bootMsOf, isHeld, keeperOf, recordOf, removeCellFolder, stateOf, writeRecord, type CellFolder } from "./records.ts";
import { release, untilGone } from "./release.ts";
import { enterArgv, runInCell } from "./run-in-cell.ts";

/** A cell as seen by any process of this host: all that is needed is its folder, and the keeper that is named there. */
export function cellOf(store: Store, cell: CellFolder, onStop: () => void = () => undefined): Cell {
  const { folder, record } = cell;
  const keeperPid = (): number => {
    const keeper = keeperOf(folder);
    if (keeper === undefined) throw ended(cell);
    return keeper.pid;
  };
  /** The first process of the machine, once there is one. */
  const init = async (timeoutMs: number): Promise<number> => {
    for (const end = performance.now() + timeoutMs; ; await sleep(POLL_MS)) {
      const found = machineInit(keeperPid());
      if (found !== undefined) return found;
      if (performance.now() > end) throw ended(cell, `has no first process after ${timeoutMs} ms`);
    }
  };
  const exec: Cell["exec"] = async (argv, options) => runInCell(await init(options.timeoutMs), argv, options);
  return {
    get state() {
      return stateOf(cell);
    },
    get bootMs() {
      return bootMsOf(cell);
    },
    exec,
    commandLine: async (argv, environment) => enterArgv(await init(INIT_MS), argv, environment),
    http: httpThroughKeeper(keeperPid),
    connect: async (port, timeoutMs) => {
      const connection = await connectThroughKeeper(keeperPid(), port, timeoutMs);
      if (typeof connection === "string") return connection;
      connection.destroy();
      return "open";
    },
    booted: async (timeoutMs) => {
      const end = performance.now() + timeoutMs;
      const keeper = keeperOf(folder);
      if (keeper === undefined) return "dead";
      const answer = await askKeeper(keeper.pid, "ready", AbortSignal.timeout(timeoutMs));
      if (answer === undefined) return isHeld(cell) ? "starting" : "dead";
      if (answer.trim() !== "ready") return "dead";
      const asked = await exec(["systemctl", "is-system-running"], { timeoutMs: Math.max(1000, end - performance.now()) });
      return wordOf(asked.stdout.trim());
    },
    journal: async ({ unit, lines }) => {
      const argv = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", `--lines=${lines}`];
      const { stdout } = await exec([...argv, ...(unit === undefined ? [] : [`--unit=${unit}`])], { timeoutMs: JOURNAL_MS });
      return stdout.split("\n").filter((line) => line !== "");
    },
    console: () => stripVTControlCharacters(readIfThere(join(folder, "console")) ?? ""),
    egress: async () => {
      const keeper = keeperOf(folder);
      const told = keeper === undefined ? undefined : await askKeeper(keeper.pid, "egress");
      return attemptsIn(told ?? readIfThere(join(folder, "egress")) ?? "");
    },
    isAlive: () => keeperOf(folder) !== undefined,
    exchangeVolume: async (image, volume) => {
      const pid = keeperPid();
      const at = hostImageRoot(`${keeperRoot(pid)}${MACHINE_ROOT}`)
        .resolve(volume.path)
        .slice(keeperRoot(pid).length);
      const answer = await askKeeper(pid, `volume ${store.blobs.path(volume.blob)} ${at}`);
      if (answer?.trim() !== "exchanged")
        throw new BakehouseError("CELL_FAILED", `Cell ${record.name}: its volume cannot be exchanged: ${answer?.trim() ?? "it has ended"}`);
      writeRecord(store, { ...recordOf(store, record), image, source: { ...record.source, volume } });
    },
    mounted: () => {
      const keeper = keeperOf(folder);
      const pid = keeper === undefined ? undefined : machineInit(keeper.pid);
      return pid === undefined ? undefined : mountedIn(pid, recordOf(store, record).source.volume?.path);
    },
    stop: async ({ now = record.purpose === "check" } = {}) => {
      const keeper = now ? undefined : keeperOf(folder);
      if (keeper !== undefined) {
        await askKeeper(keeper.pid, "stop");
        await untilGone(keeper, STOP_MS);
      }
      await release(cell);
      onStop();
      removeCellFolder(store, record.id);
    },
  };
}

/** What `/proc/<pid>/mountinfo` says (proc(5)) of the machine's root and its volume. */
function mountedIn(pid: number, volumePath: string | undefined): MountedSource | undefined {
  const mounts = (readIfThere(`/proc/${pid}/mountinfo`) ?? "").split("\n");
  const at = (path: string, kind: string): string | undefined =>
    mounts.findLast((line) => line.split(" ")[4] === path && line.includes(` - ${kind} `));
  const lowers = /lowerdir=([^,\s]+)/.exec(at("/", "overlay") ?? "")?.[1];
  if (lowers === undefined) return undefined;
  const loop = volumePath === undefined ? undefined : / - erofs \/dev\/(loop\d+) /.exec(at(volumePath, "erofs") ?? "")?.[1];
  const volumeFile = loop === undefined ? undefined : readIfThere(`/sys/block/${loop}/loop/backing_file`)?.trim();
  return { lowers, ...(volumeFile === undefined ? {} : { volumeFile }) };
}

/** Short beside the 50 ms that systemd-nspawn takes to get there. */
const POLL_MS = 5;
/** Guesses for a machine with every processor busy. */
const INIT_MS = 30_000;
const JOURNAL_MS = 30_000;
/** Longer than the keeper waits for systemd before it ends it (STOP_SECONDS there). */
const STOP_MS = 30_000;

function ended({ folder, record }: CellFolder, what = "has ended"): BakehouseError {
  const shown = stripVTControlCharacters(readIfThere(join(folder, "console")) ?? "")
    .trim()
    .split("\n")
    .slice(-20)
    .join("\n");
  return new BakehouseError("CELL_FAILED", `Cell ${record.name} ${what}${shown === "" ? "" : `; its console:\n${shown}`}`, {
    hint: `bakehouse logs ${record.name}`,
  });
}

/** Words of `systemctl is-system-running`. */
function wordOf(state: string): "running" | "degraded" | "starting" | "dead" {
  if (state === "running" || state === "degraded") return state;
  if (state === "maintenance") return "degraded";
  return state === "stopping" || state === "" ? "dead" : "starting";
}

/** As the keeper writes them: seconds, count, protocol, target, port, unit; tabs between. */
const attemptsIn = (text: string): readonly EgressAttempt[] =>
  text
    .split("\n")
    .map((line) => line.split("\t"))
    .filter((fields) => fields.length === 6)
    .map(([seconds, count, protocol, target = "", port, unit = ""]) => ({
      at: new Date(Number(seconds) * 1000).toISOString(),
      protocol: protocol as EgressAttempt["protocol"],
      target,
      ...(port === "" ? {} : { port: Number(port) }),
      ...(unit === "" ? {} : { unit }),
      count: Number(count),
    }));
