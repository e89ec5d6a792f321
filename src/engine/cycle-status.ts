import { decideCycle } from "../core/cycle/decide.ts";
import { describeSchedule } from "../core/cycle/schedule-text.ts";
import { nextRun, runsBetween } from "../core/cycle/schedule.ts";
import { windowAt } from "../core/cycle/window.ts";
import type { CycleRun } from "../ports/cycle-records.ts";
import type { CycleWork } from "./cycle-work.ts";
import type { CycleParts } from "./run-cycle.ts";

export interface CycleStatus {
  readonly recipe: string;
  readonly file: string;
  /** In words; absent without one. */
  readonly schedule?: string;
  readonly triggers: readonly string[];
  /** `due`, `waiting`, `running`, `unfinished` (a run was left behind), `new` (no scheduler has seen it). */
  readonly state: "due" | "waiting" | "running" | "unfinished" | "new";
  readonly next?: string;
  /** Runs of the schedule that are due and not made. */
  readonly missed: number;
  readonly window: "open" | "closing" | "closed";
  readonly windowOpensAt?: string;
  readonly lookedAt?: string;
  readonly found: readonly { readonly trigger: string; readonly what: string }[];
  readonly last?: CycleRun;
}

/** How a recipe's cycle stands. Changes nothing. */
export async function cycleStatus(parts: Pick<CycleParts, "clock" | "records">, work: CycleWork): Promise<CycleStatus> {
  const { settings } = work;
  const now = parts.clock.now();
  const known = await parts.records().find(work.file);
  const [last] = await parts.records().runs({ file: work.file, limit: 1 });
  const considered = known?.considered ?? now;
  const { count } = settings.schedule === undefined ? { count: 0 } : runsBetween(settings.schedule, considered, now);
  const next = settings.schedule === undefined ? undefined : nextRun(settings.schedule, now);
  const window = windowAt(settings.windows, now);
  const { alive = false, ...run } = last ?? {};
  const isDue =
    known !== undefined &&
    decideCycle({ ...settings, lookMs: Number.MAX_SAFE_INTEGER, windows: [] }, { ...known, lookedAt: known.lookedAt ?? now }, now)
      .action === "run";
  return {
    recipe: work.recipe,
    file: work.file,
    ...(settings.schedule === undefined ? {} : { schedule: describeSchedule(settings.schedule) }),
    triggers: settings.triggers,
    state: alive
      ? "running"
      : last?.outcome === "running" || last?.outcome === "paused"
        ? "unfinished"
        : isDue
          ? "due"
          : known === undefined
            ? "new"
            : "waiting",
    ...(next === undefined ? {} : { next: next.toISOString() }),
    missed: count,
    window: window.state,
    ...(window.opensAt === undefined ? {} : { windowOpensAt: window.opensAt.toISOString() }),
    ...(known?.lookedAt === undefined ? {} : { lookedAt: known.lookedAt.toISOString() }),
    found: known?.found ?? [],
    ...(last === undefined ? {} : { last: run as CycleRun }),
  };
}

export interface PlannedRun {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** Where it lies outside of the windows: when it would begin; null when they never open. */
  readonly waitsUntil?: string | null;
}

/** The next runs of the schedule, the first after `from`. */
export function plannedRuns({ settings }: Pick<CycleWork, "settings">, from: Date, count: number): readonly PlannedRun[] {
  const planned: PlannedRun[] = [];
  let at = settings.schedule === undefined ? undefined : nextRun(settings.schedule, from);
  while (at !== undefined && planned.length < count && settings.schedule !== undefined) {
    const window = windowAt(settings.windows, at);
    planned.push({ at: at.toISOString(), ...(window.state === "open" ? {} : { waitsUntil: window.opensAt?.toISOString() ?? null }) });
    at = nextRun(settings.schedule, at);
  }
  return planned;
}
