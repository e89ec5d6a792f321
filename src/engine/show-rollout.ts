import { decide } from "../core/rollout/decide.ts";
import { ENDS, type InstancePhase, type RolloutStatus } from "../core/rollout/model.ts";
import type { RolloutMethod } from "../core/rollout/plan.ts";
import type { Rollout } from "../core/rollout/rollout.ts";
import type { AskedFor } from "../core/rollout/wave-gates.ts";
import type { FleetRolloutRecords } from "../ports/fleet-records.ts";

export interface WaveView {
  readonly number: number;
  readonly size: number;
  readonly state: "done" | "open" | "to come";
  readonly soakMs: number;
  /** Share of the traffic, of a hundred; absent: by the number of instances. */
  readonly weight?: number;
  readonly phases: Readonly<Partial<Record<InstancePhase, number>>>;
}

export interface RolloutView {
  readonly id: string;
  readonly fleet: string;
  readonly target: string;
  readonly back?: string;
  readonly status: RolloutStatus;
  readonly over: boolean;
  readonly reason: string;
  readonly waitingFor: string;
  readonly planHash: string;
  readonly startedBy: string;
  /** Present while it waits for people: to approve the plan, or the wave of that number. */
  readonly approvals?: AskedFor;
  readonly method?: RolloutMethod;
  readonly waves: readonly WaveView[];
  readonly instances: readonly {
    readonly id: string;
    readonly zone: string;
    readonly phase: InstancePhase;
    readonly running?: string;
    readonly healthy: boolean;
    /** How often it was moved or brought back. */
    readonly attempts: number;
  }[];
  readonly counts: Readonly<Record<"size" | "moved" | "failed" | "unreachable" | "down", number>>;
  readonly limits: {
    readonly errors: number;
    readonly unreachable: number;
    readonly maxUnavailable: number;
    readonly minHealthy: number;
    readonly maxSurge: number;
  };
  /** Guess from what the instances so far took, and the soaks to come; undefined while nothing was moved. */
  readonly leftMs?: number;
}

/** What people are shown of a rollout. */
export function viewOf(rollout: Rollout, about: { readonly waitingFor: string; readonly startedBy: string }): RolloutView {
  const { plan, roster, status } = rollout;
  const slots = [...roster];
  const waves = plan.waves.map(({ from, to, soakMs, weight }, index): WaveView => ({
    number: index + 1,
    size: to - from,
    state: index < rollout.wave ? "done" : index === rollout.wave ? "open" : "to come",
    soakMs,
    ...(weight === undefined ? {} : { weight }),
    phases: countBy(slots.slice(from, to).map(({ phase }) => phase)),
  }));
  const moved = slots.filter(({ phase }) => phase === "moved").length;
  const { failed, unreachable, down, size } = roster.sums;
  const left = timeLeft(rollout, moved);
  return {
    id: plan.rollout,
    fleet: plan.fleet,
    target: plan.target,
    ...(plan.back === undefined ? {} : { back: plan.back }),
    status,
    over: ENDS.has(status),
    reason: rollout.reason,
    waitingFor: about.waitingFor,
    planHash: rollout.planHash,
    startedBy: about.startedBy,
    ...(rollout.asksFor === undefined ? {} : { approvals: rollout.asksFor }),
    ...(plan.method === undefined ? {} : { method: plan.method }),
    waves,
    instances: slots.map(({ id, zone, phase, running, healthy, attempt }) => ({
      ...{ id, zone, phase, healthy, attempts: attempt },
      ...(running === undefined ? {} : { running }),
    })),
    counts: { size, moved, failed, unreachable, down },
    limits: { ...rollout.limits, errors: rollout.errorLimit },
    ...(left === undefined ? {} : { leftMs: left }),
  };
}

function timeLeft({ plan, wave, status, movingMs }: Rollout, moved: number): number | undefined {
  if (moved === 0 || (status !== "running" && status !== "paused" && status !== "held")) return undefined;
  const perInstance = movingMs / moved;
  const soaks = plan.waves.slice(wave).reduce((sum, { soakMs }) => sum + soakMs, 0);
  return Math.round((plan.instances.length - moved) * perInstance + soaks);
}

const countBy = <K extends string>(keys: readonly K[]): Partial<Record<K, number>> => {
  const counts: Partial<Record<K, number>> = {};
  for (const key of keys) counts[key] = (counts[key] ?? 0) + 1;
  return counts;
};

/** A rollout made again from its records, as it stands now. */
export function replayRollout(records: FleetRolloutRecords): {
  readonly rollout: Rollout;
  readonly waitingFor: string;
} {
  const { plan, ...origin } = records.origin;
  const moments = records.moments();
  const { rollout, decisions } = decide(plan, origin, moments);
  return { rollout, waitingFor: decisions.at(-1)?.waitingFor ?? "" };
}

/** @see viewOf */
export function showRollout(records: FleetRolloutRecords): RolloutView {
  const { rollout, ...about } = replayRollout(records);
  return viewOf(rollout, { ...about, startedBy: records.origin.startedBy });
}
