import type { PolicySource } from "./scenario.ts";

const STREAM = { rolling: { batch: { percent: 100 }, soak: 0 } } as const;
const SILENT_COUNTS_NOT = { allowed: { percent: 100 }, after: 300_000 } as const;

/**
 * The rules by which other systems halt, as policies, so that they can be compared on one scenario. Each is that rule alone, with the
 * system's own default; sources in docs/guide/simulation.md.
 */
export const NAMED_POLICIES: Readonly<Record<string, { readonly summary: string; readonly policy: PolicySource }>> = {
  bakehouse: {
    summary: "A canary of 1, 5, 25 %, halted by the second failure, and rolled back",
    policy: {
      strategy: {
        canary: [
          { to: { count: 1 }, soak: 60_000 },
          { to: { percent: 5 }, soak: 120_000 },
          { to: { percent: 25 }, soak: 120_000 },
        ],
      },
      maxUnavailable: { percent: 10 },
      maxSurge: { count: 1 },
      errors: { allowed: { count: 1 }, strict: false },
      onHalt: "roll-back",
    },
  },
  ssm: {
    summary: "AWS Systems Manager: 50 at once, the error that exceeds max-errors (0) stops what has not begun; silence is no error",
    policy: {
      strategy: STREAM,
      maxUnavailable: { count: 50 },
      errors: { allowed: { count: 0 } },
      unreachable: SILENT_COUNTS_NOT,
      onHalt: "hold",
    },
  },
  argo: {
    summary:
      "Argo Rollouts: steps of 20 %, a quarter unavailable; aborts when the analysis fails once, or gives no answer 5 times in a row",
    policy: {
      strategy: { canary: [{ to: { percent: 20 }, soak: 60_000 }] },
      maxUnavailable: { percent: 25 },
      maxSurge: { percent: 25 },
      errors: { allowed: { percent: 100 } },
      gates: [
        { name: "analysis", errorRateBelow: 5, onError: "halt", onInconclusive: "hold", again: { every: 10_000, failed: 0, error: 4 } },
      ],
      onHalt: "roll-back",
    },
  },
  hawkbit: {
    summary: "hawkBit: groups of 10 %, paused when more than 10 % of a group fail; silent devices are waited for without end",
    policy: {
      strategy: { rolling: { batch: { percent: 10 }, soak: 0 } },
      maxUnavailable: { percent: 100 },
      errors: { allowed: { percent: 10 }, perWave: true },
      unreachable: SILENT_COUNTS_NOT,
      onHalt: "hold",
    },
  },
  flagger: {
    summary: "Flagger: weights by 10 %, goes back at the 5th failed check, one a minute; no answer is a failed check",
    policy: {
      strategy: { rolling: { batch: { percent: 10 }, soak: 60_000 } },
      maxUnavailable: { count: 0 },
      maxSurge: { percent: 100 },
      errors: { allowed: { percent: 100 } },
      gates: [
        {
          ...{ name: "success-rate", errorRateBelow: 1, onError: "halt", onInconclusive: "halt" },
          again: { every: 60_000, failed: 4, error: 4, inconclusive: 4 },
        },
      ],
      onHalt: "roll-back",
    },
  },
  codedeploy: {
    summary: "CodeDeploy, HalfAtATime: half must stay healthy, a host is healthy when its deployment succeeded",
    policy: {
      strategy: STREAM,
      maxUnavailable: { percent: 50 },
      minHealthy: { percent: 50 },
      errors: { allowed: { percent: 50 } },
      unreachable: SILENT_COUNTS_NOT,
      onHalt: "hold",
    },
  },
};
