import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readImage } from "../src/engine/image-content.ts";
import type { Cell } from "../src/ports/cells.ts";
import { createBakehouse } from "../src/presets/create-bakehouse.ts";
import type { Measurement } from "./measure.ts";

/** A small web server's machine. */
const RECIPE = `name: cell
layers:
  machine:
    steps:
      - debian: { suite: bookworm, include: [systemd, systemd-sysv, udev, curl, nginx-light] }
      - systemd: { enable: [nginx.service] }
`;

export interface CellsMeasurement extends Measurement {
  /** What the machine had less of available than before, with all of them answering. */
  readonly memoryBytes: number;
}

/** Starts cells of a small web server, as many at a time as there are processors, until the last one answers with 200. */
export async function startCells(store: string, folder: string, count: number, parallel: number): Promise<CellsMeasurement> {
  const bakehouse = createBakehouse({ store });
  const { parts } = bakehouse;
  const cells = await parts.cells();
  const started: Cell[] = [];
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "bakehouse.yaml"), RECIPE);
    const loaded = bakehouse.load(folder);
    await bakehouse.lock(loaded);
    await bakehouse.bake(loaded);
    const { entry, name, source } = readImage(parts.store, "cell/machine");
    const image = { digest: entry.digest, name };
    const before = available();
    const begun = performance.now();
    const left = Array.from({ length: count }, (_, index) => index);
    const startSome = async (): Promise<void> => {
      while (left.pop() !== undefined) {
        const cell = await cells.start({ image, source, purpose: "run", publish: [], files: {} }, new AbortController().signal);
        started.push(cell);
        await untilHealthy(cell);
      }
    };
    await Promise.all(Array.from({ length: parallel }, startSome));
    const wallSeconds = (performance.now() - begun) / 1000;
    const cpuSeconds = started.reduce((sum, cell) => sum + cpuOf(cell.state.id), 0);
    return { wallSeconds, cpuSeconds, largestBytes: 0, memoryBytes: before - available() };
  } finally {
    await Promise.all(started.map((cell) => cell.stop({ now: true })));
    await bakehouse.close();
  }
}

async function untilHealthy(cell: Cell): Promise<void> {
  for (const end = Date.now() + 120_000; ; await sleep(20)) {
    const answer = await cell.http({ url: "http://127.0.0.1/", timeoutMs: 5000 }).catch(() => undefined);
    if (answer?.status === 200) return;
    if (Date.now() > end) throw new Error(`${cell.state.name} does not answer:\n${cell.console()}`);
  }
}

const available = (): number => Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;

/** Of everything inside, by its cgroup: v1 counts nanoseconds, v2 microseconds. */
function cpuOf(id: string): number {
  const group = `bakehouse-cell-${id}`;
  const v1 = `/sys/fs/cgroup/cpuacct/${group}/cpuacct.usage`;
  if (existsSync(v1)) return Number(readFileSync(v1, "utf8")) / 1e9;
  return Number(/^usage_usec (\d+)/m.exec(readFileSync(`/sys/fs/cgroup/${group}/cpu.stat`, "utf8"))?.[1] ?? 0) / 1e6;
}
