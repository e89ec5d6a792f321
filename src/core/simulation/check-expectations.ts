import type { Expectations } from "./scenario.ts";

/** What expectations look at. */
export interface Outcome {
  readonly status: string;
  readonly reason: string;
  readonly refused: readonly string[];
  readonly moved: number;
  readonly failed: number;
  readonly overRun: number;
  readonly timeToHaltMs?: number;
  readonly worst: Readonly<Record<string, number>>;
  /** Of a hundred requests, how many the new image got at most. */
  readonly traffic: number;
  readonly refusedCommands: number;
  readonly durationMs: number;
  /** All, in the order in which they were asked for. */
  readonly rollouts: readonly { readonly status: string; readonly reason: string; readonly moved: number }[];
}

/** What came out otherwise, in words; empty: all as expected. */
export function unmetExpectations(expected: Expectations, outcome: Outcome): readonly string[] {
  const worst = Math.min(...Object.values(outcome.worst));
  const refused = outcome.refused.join("; ");
  const differences: (readonly [isMet: boolean, what: string])[] = [
    [
      expected.refused === undefined || refused.includes(expected.refused),
      `refused: ${JSON.stringify(refused)}, not for ${JSON.stringify(expected.refused)}`,
    ],
    [
      expected.status === undefined || outcome.status === expected.status,
      `status: ${outcome.status} (${outcome.reason}), not ${expected.status ?? ""}`,
    ],
    [
      expected.reason === undefined || outcome.reason.includes(expected.reason),
      `reason: ${JSON.stringify(outcome.reason)}, without ${JSON.stringify(expected.reason)}`,
    ],
    [expected.moved === undefined || outcome.moved === expected.moved, `moved: ${outcome.moved}, not ${expected.moved ?? 0}`],
    [
      expected.failed === undefined || outcome.failed <= expected.failed.most,
      `failed: ${outcome.failed}, more than ${expected.failed?.most ?? 0}`,
    ],
    [
      expected.overRun === undefined || outcome.overRun <= expected.overRun.most,
      `over-run: ${outcome.overRun}, more than ${expected.overRun?.most ?? 0}`,
    ],
    [
      expected.haltWithin === undefined || (outcome.timeToHaltMs ?? Number.POSITIVE_INFINITY) <= expected.haltWithin,
      `halt: after ${outcome.timeToHaltMs ?? "no"} ms, not within ${expected.haltWithin ?? 0}`,
    ],
    [
      expected.worstZone === undefined || worst >= expected.worstZone.least,
      `worst zone: ${worst} %, less than ${expected.worstZone?.least ?? 0}`,
    ],
    [
      expected.traffic === undefined || outcome.traffic <= expected.traffic.most,
      `traffic: up to ${outcome.traffic} %, more than ${expected.traffic?.most ?? 0}`,
    ],
    [
      expected.refusedCommands === undefined || outcome.refusedCommands === expected.refusedCommands,
      `refused commands: ${outcome.refusedCommands}, not ${expected.refusedCommands ?? 0}`,
    ],
    [expected.within === undefined || outcome.durationMs <= expected.within, `took ${outcome.durationMs} ms, not ${expected.within ?? 0}`],
    [
      expected.atLeast === undefined || outcome.durationMs >= expected.atLeast,
      `took ${outcome.durationMs} ms, less than ${expected.atLeast ?? 0}`,
    ],
  ];
  for (const [index, next] of (expected.next ?? []).entries()) {
    const { status, reason, moved } = outcome.rollouts[index + 1] ?? { status: "not asked for", reason: "", moved: 0 };
    const what = `rollout ${index + 2}: ${status} (${reason}), ${moved} moved, not ${JSON.stringify(next)}`;
    const isSo = [next.status ?? status, next.moved ?? moved].join() === [status, moved].join();
    differences.push([isSo && reason.includes(next.reason ?? ""), what]);
  }
  return differences.flatMap(([isMet, what]) => (isMet ? [] : [what]));
}
