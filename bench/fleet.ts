import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { collectReport } from "../src/engine/report-rollout.ts";
import { openSqliteFleets } from "../src/adapters/sqlite-fleets/sqlite-fleets.ts";

/** Port of the load balancer; the cases run one after another. */
const PORT = 18_480;

/** What a client saw that asked without a pause. */
export interface Asked {
  readonly requests: number;
  readonly failed: number;
  /** Answers that were not 200, as often as they came: `3 × 503`. */
  readonly bad: readonly string[];
  /** When the first failed, milliseconds since 1970. */
  readonly firstFailedMs?: number;
}

/** Gives the recipe of a shop a fleet of that size, in place of the one that it has. */
export function declareFleet(folder: string, size: number): void {
  const file = join(folder, "bakehouse.yaml");
  const recipe = readFileSync(file, "utf8").split("\nfleets:\n")[0] ?? "";
  writeFileSync(
    file,
    `${recipe}
fleets:
  web:
    size: ${size}
    zones: [a, b]
    layer: release-volume
    channel: dev
    traffic: { listen: ${PORT}, backend: 80 }
    health: { http: /health, interval: 500ms, healthy: 1, unhealthy: 2 }
    rollout:
      strategy: { canary: [{ to: 1, soak: 1s }, { to: "25%", soak: 1s }] }
      maxUnavailable: "25%"
      maxSurge: "25%"
      minHealthy: "50%"
      errors: { allowed: 0 }
      grace: 200ms
      timeout: 60s
      onHalt: roll-back
      gates:
        - { name: log, log: { pattern: Traceback, unit: shop.service }, onError: hold, onInconclusive: hold }
`,
  );
}

/** A service that answers 500 two seconds after it has started. */
export function breakLater(folder: string): () => void {
  const file = join(folder, "app", "service.py");
  const whole = readFileSync(file, "utf8");
  writeFileSync(
    file,
    whole
      .replace("HOME = ", "import time\nSTARTED = time.monotonic()\nHOME = ")
      .replace('self.answer(200, {"status": "ok"', 'self.answer(200 if time.monotonic() < STARTED + 2 else 500, {"status": "ok"'),
  );
  return () => writeFileSync(file, whole);
}

/** Asks the fleet while something happens to it. */
export async function whileAsking<T>(work: () => T): Promise<{ readonly result: T; readonly asked: Asked }> {
  const client = spawn(process.execPath, [join(import.meta.dirname, "..", "tools", "ask.mjs"), `http://127.0.0.1:${PORT}/health`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const said = text(client.stdout);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const closed = once(client, "close");
  try {
    const result = work();
    client.kill("SIGTERM");
    await closed;
    return { result, asked: readAnswers(await said) };
  } finally {
    client.kill("SIGTERM");
  }
}

function readAnswers(said: string): Asked {
  const requests = Number(/^(\d+) requests/.exec(said)?.[1] ?? Number.NaN);
  const good = [...said.matchAll(/(\d+) × 200 /g)].reduce((sum, [, count]) => sum + Number(count), 0);
  const at = /failed at (\S+):/.exec(said)?.[1];
  const bad = said
    .split("\n")
    .slice(1)
    .filter((line) => line.includes("×") && !/× 200 /.test(line))
    .map((line) => line.trim());
  return { requests, failed: requests - good, bad, ...(at === undefined ? {} : { firstFailedMs: Date.parse(at) }) };
}

/** When the newest rollout of a store halted, and when everything was back; milliseconds since 1970. */
export function haltOf(store: string): { readonly haltedMs: number; readonly backMs: number } {
  const records = openSqliteFleets(join(store, "fleets.db"));
  try {
    const { halt, startedAt, endedAt } = collectReport({ records }, undefined);
    if (halt === undefined || endedAt === undefined) throw new Error(`the rollout of ${startedAt} did not halt`);
    return { haltedMs: Date.parse(halt.at), backMs: Date.parse(endedAt) };
  } finally {
    records.close();
  }
}
