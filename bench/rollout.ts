import type { Observation } from "../src/core/rollout/model.ts";
import { planRollout } from "../src/core/rollout/plan.ts";
import { Rollout } from "../src/core/rollout/rollout.ts";
import type { Measurement } from "./measure.ts";

const TICKS = 100;

/** One decision in the middle of a rollout over so many hosts, with so many reports; the median of a hundred. */
export function decideOnce(hosts: number, reports: number): Measurement {
  const instances = Array.from({ length: hosts }, (_, index) => ({
    id: `host-${index}`,
    zone: `zone-${index % 5}`,
    running: "old",
    healthy: true,
  }));
  const planned = planRollout({
    ...{ rollout: "r", fleet: "f", target: "new", back: "old", instances },
    policy: {
      strategy: { kind: "rolling", batch: { percent: 100 }, soakMs: 60_000 },
      ...{ maxUnavailable: { percent: 5 }, minHealthy: { count: 0 }, maxSurge: { count: 0 } },
      ...{ errors: { allowed: { percent: 2 }, strict: false, perWave: false }, unreachable: { allowed: { percent: 2 }, afterMs: 600_000 } },
      ...{ timeoutMs: 600_000, graceMs: 30_000, gates: [], onHalt: "roll-back", approvals: 0 },
    },
  });
  if ("problems" in planned) throw new Error(planned.problems.join("; "));
  const rollout = new Rollout(planned.plan, "hash", "bench", 0);
  let moving = rollout.tick([], 0).actions;
  const took: number[] = [];
  for (let tick = 1; tick <= TICKS; tick += 1) {
    const done = moving.slice(0, reports);
    const observations = done.flatMap((action): readonly Observation[] =>
      action.kind === "move" ? [{ type: "report", id: action.id, sequence: tick, running: "new", healthy: true }] : [],
    );
    const startedMs = performance.now();
    const { actions } = rollout.tick(observations, tick * 1000);
    took.push(performance.now() - startedMs);
    moving = [...moving.slice(reports), ...actions];
  }
  const seconds = (took.sort((a, b) => a - b)[TICKS / 2] ?? 0) / 1000;
  return { wallSeconds: seconds, cpuSeconds: seconds, largestBytes: process.memoryUsage().rss };
}
