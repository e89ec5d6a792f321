import type { FleetPolicy } from "./model.ts";

/** How a fleet moves when its recipe does not say: one instance, then a quarter, then the rest; the first failure brings it back. */
export const DEFAULT_POLICY: FleetPolicy = {
  strategy: {
    kind: "canary",
    steps: [
      { to: { count: 1 }, soakMs: 30_000 },
      { to: { percent: 25 }, soakMs: 30_000 },
    ],
  },
  maxUnavailable: { percent: 25 },
  minHealthy: { percent: 50 },
  maxSurge: { percent: 25 },
  errors: { allowed: { count: 0 }, strict: false, perWave: false },
  unreachable: { allowed: { percent: 10 }, afterMs: 60_000 },
  timeoutMs: 300_000,
  graceMs: 5000,
  gates: [],
  onHalt: "roll-back",
  approvals: 0,
};
