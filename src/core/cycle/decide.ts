import { TRIGGERS, type CycleSettings, type Trigger } from "./model.ts";
import { nextRun, runsBetween } from "./schedule.ts";
import { windowAt } from "./window.ts";

/** What is known of a cycle when it is decided whether it is due. */
export interface CycleState {
  /** Every run of the schedule up to this moment is dealt with. */
  readonly considered: Date;
  /** When the triggers were last looked at; absent: never. */
  readonly lookedAt?: Date;
  /** What the triggers found then. */
  readonly found: readonly Finding[];
}

/** A trigger that fired, and what it saw. */
export interface Finding {
  readonly trigger: Trigger;
  /** `openssl 3.0.15 → 3.0.16` */
  readonly what: string;
}

/** Why a run begins. `missed`: runs of the schedule before this one that nobody made. */
export type Cause =
  | { readonly kind: "schedule"; readonly slot: Date; readonly missed: number }
  | { readonly kind: "trigger"; readonly trigger: Trigger; readonly what: string }
  | { readonly kind: "asked"; readonly by: string };

export type Decision =
  /** One run, whatever number was missed. */
  | { readonly action: "run"; readonly causes: readonly [Cause, ...Cause[]] }
  /** Look at the triggers now, then decide again. */
  | { readonly action: "look" }
  /** The clock went back behind what was dealt with: deal with the schedule from now on. */
  | { readonly action: "set-back"; readonly by: number }
  | { readonly action: "wait"; readonly until?: Date; readonly why: string };

/**
 * Decides what a scheduler does now. Pure: reads no clock, no store.
 *
 * @returns `until`: when to ask again at the latest; absent when nothing will ever be due
 * @example decideCycle(settings, { considered: monday, found: [] }, fiveWeeksLater)
 *          // { action: "run", causes: [{ kind: "schedule", slot, missed: 4 }] }
 */
export function decideCycle(settings: CycleSettings, state: CycleState, now: Date): Decision {
  const aheadMs = state.considered.getTime() - now.getTime();
  if (aheadMs > 0) return { action: "set-back", by: aheadMs };
  const looksAt = nextLook(settings, state);
  const slots = scheduled(settings, state, now);
  // a run looks at everything itself
  if (slots.length === 0 && looksAt !== undefined && looksAt.getTime() <= now.getTime()) return { action: "look" };
  const [cause, ...causes] = [...slots, ...triggered(settings, state)];
  const next = settings.schedule === undefined ? undefined : nextRun(settings.schedule, now);
  if (cause === undefined) {
    const until = earlier(next, looksAt);
    return { action: "wait", ...(until === undefined ? {} : { until }), why: "nothing is due" };
  }
  const window = windowAt(settings.windows, now);
  if (window.state === "open") return { action: "run", causes: [cause, ...causes] };
  const until = earlier(window.opensAt, looksAt);
  return { action: "wait", ...(until === undefined ? {} : { until }), why: "due, and waits for a maintenance window" };
}

function scheduled({ schedule }: CycleSettings, { considered }: CycleState, now: Date): readonly Cause[] {
  if (schedule === undefined) return [];
  const { latest, count } = runsBetween(schedule, considered, now);
  return latest === undefined ? [] : [{ kind: "schedule", slot: latest, missed: count - 1 }];
}

/** Security first. */
function triggered({ triggers }: CycleSettings, { found }: CycleState): readonly Cause[] {
  const wanted = found.filter(({ trigger }) => triggers.includes(trigger));
  return wanted
    .toSorted((a, b) => TRIGGERS.indexOf(a.trigger) - TRIGGERS.indexOf(b.trigger))
    .map(({ trigger, what }): Cause => ({ kind: "trigger", trigger, what }));
}

/** A cycle without triggers never looks. */
function nextLook({ triggers, lookMs }: CycleSettings, { lookedAt, considered }: CycleState): Date | undefined {
  if (triggers.length === 0) return undefined;
  return lookedAt === undefined ? considered : new Date(lookedAt.getTime() + lookMs);
}

const earlier = (one: Date | undefined, other: Date | undefined): Date | undefined =>
  one === undefined || (other !== undefined && other.getTime() < one.getTime()) ? other : one;

/** `its schedule (Mon …)`: why a run began, for people. */
export function describeCause(cause: Cause): string {
  if (cause.kind === "asked") return `${cause.by} asked for it`;
  if (cause.kind === "trigger") return `${TRIGGER_WORDS[cause.trigger]}: ${cause.what}`;
  const missed = cause.missed === 0 ? "" : `, and ${cause.missed} missed before it`;
  return `its schedule: ${cause.slot.toISOString().slice(0, 16)}Z${missed}`;
}

const TRIGGER_WORDS: Readonly<Record<Trigger, string>> = {
  security: "security fix",
  parent: "parent moved",
  sources: "source changed",
  packages: "newer package",
};
