import { Cron } from "croner";
import { openWindows } from "../channel/freeze.ts";
import type { FreezeWindow } from "../channel/model.ts";
import type { MaintenanceWindow } from "../cycle/model.ts";
import { windowAt } from "../cycle/window.ts";

/** A freeze that comes again and again, such as every night or the end of a quarter. */
export interface RolloutFreeze extends FreezeWindow {
  /** Digests that may be rolled out all the same. */
  readonly exempt?: readonly string[];
}

/** Somebody stopped the line. */
export interface LineStop {
  readonly owner: string;
  readonly reason: string;
  readonly from: Date;
  /** Absent: until it is lifted. */
  readonly expires?: Date;
  /** Digests that may be rolled out all the same, such as the one that repairs what the line was stopped for. */
  readonly exempt: readonly string[];
}

/** When something new may start on a fleet, by the clock on the wall. */
export interface Calendar {
  readonly freezes: readonly RolloutFreeze[];
  readonly stops: readonly LineStop[];
  /** Nothing new starts outside of them, and nothing in their last part; without any, every moment is inside. */
  readonly windows: readonly MaintenanceWindow[];
}

export interface Frozen {
  /** All that stands against it, in words. */
  readonly reason: string;
  /** When something may start again, whatever comes in between counted in; absent: nobody knows. */
  readonly until?: Date;
}

/** So many freezes in a row, or a year of them, are one without an end. A guess. */
const LOOKED_AT = 100;
const YEAR_MS = 366 * 86_400_000;

/**
 * Whether anything new may start at a moment. Spans are elapsed time: a freeze of 8 hours lasts 8 hours, also in a night when the
 * clocks are changed. What is under way, and a way back, are not its matter.
 *
 * @returns nothing when it may
 */
export function frozenAt(calendar: Calendar, now: Date, target: string): Frozen | undefined {
  return frozenBy(obstaclesAt(calendar, now, target), calendar, now, target);
}

/** The same, and how long that is the answer: whoever asks often need not ask again before. */
export function lineAt(
  calendar: Calendar,
  now: Date,
  target: string,
): {
  readonly frozen?: Frozen;
  /** Absent: for ever, as far as is known. */
  readonly holdsUntil?: Date;
} {
  const obstacles = obstaclesAt(calendar, now, target);
  const frozen = frozenBy(obstacles, calendar, now, target);
  const holdsUntil = frozen === undefined ? nextObstacle(calendar, now, target) : earliest(obstacles.flatMap(({ until }) => until ?? []));
  return { ...(frozen === undefined ? {} : { frozen }), ...(holdsUntil === undefined ? {} : { holdsUntil }) };
}

const earliest = (moments: readonly Date[]): Date | undefined => moments.toSorted((a, b) => a.getTime() - b.getTime())[0];

function frozenBy(first: readonly Obstacle[], calendar: Calendar, now: Date, target: string): Frozen | undefined {
  if (first.length === 0) return undefined;
  const reason = first.map((obstacle) => obstacle.reason).join("; ");
  let obstacles = first;
  for (let count = 0; count < LOOKED_AT; count += 1) {
    const until = obstacles.reduce<Date | undefined>((last, each) => laterOf(last, each.until), new Date(0));
    if (until === undefined) return { reason };
    obstacles = obstaclesAt(calendar, until, target);
    if (obstacles.length === 0) return { reason, until };
    if (until.getTime() - now.getTime() > YEAR_MS) break;
  }
  return { reason };
}

interface Obstacle {
  readonly reason: string;
  readonly until: Date | undefined;
}

function obstaclesAt({ freezes, stops, windows }: Calendar, now: Date, target: string): readonly Obstacle[] {
  const applies = ({ exempt = [] }: { readonly exempt?: readonly string[] }): boolean => !exempt.includes(target);
  const stopped = stops.filter((stop) => applies(stop) && stop.from <= now && (stop.expires === undefined || now < stop.expires));
  const state = windowAt(windows, now);
  return [
    ...stopped.map(({ owner, reason, expires }) => ({ reason: `the line is stopped by ${owner}: ${reason}`, until: expires })),
    ...openWindows(freezes.filter(applies), now).map(({ window, until }) => ({
      reason: window.reason ?? `frozen by ${window.cron}`,
      until,
    })),
    ...(state.state === "open" ? [] : [{ reason: "no maintenance window is open", until: state.opensAt }]),
  ];
}

/** Absent is never. */
const laterOf = (a: Date | undefined, b: Date | undefined): Date | undefined =>
  a === undefined || b === undefined ? undefined : a > b ? a : b;

/** A span in which something new may start at any moment. */
export interface OpenSpan {
  readonly from: Date;
  /** Absent: nothing ends it, as far as is known. */
  readonly until?: Date;
}

export interface Fit {
  /** The first span that is long enough; absent: none of those that were looked at is. */
  readonly whole?: OpenSpan;
  /** When it may begin; absent: nobody knows. A rollout that fits into no span goes on in the next one. */
  readonly begins?: Date;
}

/** More spans than anybody plans ahead: with one window a week, a year. */
const SPANS = 53;

/** Where a rollout fits in that needs so long from its beginning to its end. */
export function fitInto(
  calendar: Calendar,
  { now, target, needsMs }: { readonly now: Date; readonly target: string; readonly needsMs: number },
): Fit {
  let from: Date | undefined = startAfter(calendar, now, target);
  const begins = from === undefined ? {} : { begins: from };
  for (let count = 0; count < SPANS && from !== undefined; count += 1) {
    const until = endOfSpan(calendar, from, target);
    if (until === undefined) return { ...begins, whole: { from } };
    if (until.getTime() - from.getTime() >= needsMs) return { ...begins, whole: { from, until } };
    from = startAfter(calendar, until, target);
  }
  return begins;
}

function startAfter(calendar: Calendar, now: Date, target: string): Date | undefined {
  const frozen = frozenAt(calendar, now, target);
  return frozen === undefined ? now : frozen.until;
}

function endOfSpan(calendar: Calendar, from: Date, target: string): Date | undefined {
  let until = nextObstacle(calendar, from, target);
  for (let count = 0; count < LOOKED_AT && until !== undefined; count += 1) {
    if (obstaclesAt(calendar, until, target).length > 0) return until;
    until = nextObstacle(calendar, until, target);
  }
  return undefined;
}

/** The first moment after `from` at which something may come in between. */
function nextObstacle({ freezes, stops, windows }: Calendar, from: Date, target: string): Date | undefined {
  const moments = [
    ...stops.flatMap((stop) => (stop.from > from && !stop.exempt.includes(target) ? [stop.from] : [])),
    ...freezes.flatMap(({ cron, zone, exempt = [] }) =>
      exempt.includes(target) ? [] : [new Cron(cron, { timezone: zone }).nextRun(from)],
    ),
    ...(windows.length === 0 ? [] : [lastClosing(windows, from)]),
  ].filter((moment) => moment !== null);
  return earliest(moments);
}

/** When the last of the windows that are open at a moment lets nothing begin any more. */
function lastClosing(windows: readonly MaintenanceWindow[], at: Date): Date | null {
  const closings = windows.flatMap((window) => {
    const state = windowAt([window], at);
    return state.state === "open" ? [new Date(state.endsAt.getTime() - window.cutoffMs)] : [];
  });
  return closings.toSorted((a, b) => b.getTime() - a.getTime())[0] ?? null;
}
