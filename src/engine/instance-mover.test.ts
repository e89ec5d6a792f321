import { describe, expect, test } from "vitest";
import type { ImageDigest } from "../core/digest.ts";
import type { InstanceReport } from "../core/fleet/instance.ts";
import type { Action, Observation } from "../core/rollout/model.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import { InstanceMover } from "./instance-mover.ts";

const NEW: ImageDigest = `sha256:${"1".repeat(64)}`;
const OLD: ImageDigest = `sha256:${"2".repeat(64)}`;

/** A thousand times as fast. */
const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms / 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

function mover(provider: Partial<FleetProvider>) {
  const told: Observation[] = [];
  const at = new Date().toISOString();
  const report: InstanceReport = {
    ...{ id: "web-1", slot: "web-1", zone: "a", provided: OLD, running: OLD },
    ...{ bootedAt: at, observedAt: at, health: "healthy", serving: true },
  };
  const given = {
    can: { replace: false, activate: true, weigh: true },
    drain: () => Promise.resolve(true),
    admit: () => Promise.resolve(),
  };
  const made = new InstanceMover({
    provider: { ...given, ...provider } as FleetProvider,
    releaseOf: (image) => ({ image, name: "shop", diffs: [] }),
    reports: () => [report],
    tell: (observation) => void told.push(observation),
    wake: () => undefined,
    deny: () => undefined,
    askGate: () => Promise.resolve({ verdict: "passed", detail: "" }),
    zoneOf: () => "a",
    isSettled: () => false,
    digestOf: (text) => text,
    sleep,
    drainMs: 1000,
    timeoutMs: 300_000,
    isInCharge: () => true,
  });
  made.aim(NEW, "even");
  return { made, told };
}

const move = (key: string, to: string): Action => ({ kind: "move", key, id: "web-1", to, how: "in-place" });

describe("jobs of one slot", () => {
  test("one that is called off before its turn is not begun: a provider that never stops holds nobody up", async () => {
    const begun: ImageDigest[] = [];
    const { made, told } = mover({ activate: (_, { image }) => (begun.push(image), new Promise<never>(() => undefined)) });
    made.perform(move("r/web-1/1", NEW));
    await expect.poll(() => begun).toEqual([NEW]);
    made.perform(move("r/web-1/2", OLD));
    await made.settle({ stop: true });
    expect(begun).toEqual([NEW]);
    expect(told).toEqual([]);
  });

  test("a switch that something follows is done before that", async () => {
    const calls: string[] = [];
    let goOn = (): void => undefined;
    const { made } = mover({
      admit: (id, weight) => (calls.push(`admit ${id} ${weight}`), new Promise((done) => (goOn = done))),
      terminate: (id) => (calls.push(`terminate ${id}`), Promise.resolve()),
    });
    made.perform({ kind: "switch", key: "r//switch-new", to: "new" });
    made.perform({ kind: "switch", key: "r//switch-old", to: "old" });
    made.perform({ kind: "retire", key: "r//retire-old", set: "old" });
    await expect.poll(() => calls).toEqual(["admit web-1 0"]);
    goOn();
    await expect.poll(() => calls).toEqual(["admit web-1 0", "admit web-1 100"]);
    goOn();
    await made.settle({ stop: false });
    expect(calls.at(-1)).toBe("terminate web-1");
  });
});
