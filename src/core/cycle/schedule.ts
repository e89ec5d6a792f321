import { Cron } from "croner";
import type { CronSchedule, Schedule } from "./model.ts";
import { DAY_MS, dayNumber, localDay } from "./zone.ts";

/** What happened between two moments. */
export interface RunsBetween {
  /** The latest of them; absent when there was none. */
  readonly latest?: Date;
  /** How many, at most {@link COUNTED}. */
  readonly count: number;
}

/** More missed runs than anybody wants to hear the exact number of. */
export const COUNTED = 1000;

/** Of a pattern's runs, this many are looked at before it is taken to have none: every 12 months of something daily has 366. */
const LOOKED_AT = 5000;

/**
 * The first run after a moment.
 *
 * A time that the clocks skip in spring runs once, at the first moment after the gap; one that they show twice in autumn
 * runs once, the first time. Only patterns that name no hour (`0 * * * *`) run in both hours.
 *
 * @returns nothing when there never is one (30 February)
 * @example nextRun(parseSchedule("every second Monday at 03:00 Europe/Warsaw"), new Date("2026-01-05T12:00Z"))
 */
export function nextRun(schedule: Schedule, after: Date): Date | undefined {
  if (schedule.kind === "rate") {
    const { everyMs, fromMs } = schedule;
    const turns = Math.floor((after.getTime() - fromMs) / everyMs) + 1;
    return new Date(fromMs + Math.max(turns, 0) * everyMs);
  }
  const cron = cronOf(schedule);
  const firstMs = ((dayNumber(schedule.from) ?? 0) - 1) * DAY_MS; // a day early: zones are up to 14 hours ahead
  let at = cron.nextRun(new Date(Math.max(after.getTime(), firstMs)));
  for (let looked = 0; at !== null && looked < LOOKED_AT; looked++) {
    if (isTurn(schedule, at)) return at;
    at = cron.nextRun(at);
  }
  return undefined;
}

/** The runs after one moment, up to and including another. None when the second is not later. */
export function runsBetween(schedule: Schedule, after: Date, until: Date): RunsBetween {
  if (until.getTime() <= after.getTime()) return { count: 0 };
  if (schedule.kind === "rate") {
    const turnsUntil = (moment: Date): number => Math.max(Math.floor((moment.getTime() - schedule.fromMs) / schedule.everyMs) + 1, 0);
    const count = turnsUntil(until) - turnsUntil(after);
    return count <= 0
      ? { count: 0 }
      : { latest: new Date(schedule.fromMs + (turnsUntil(until) - 1) * schedule.everyMs), count: Math.min(count, COUNTED) };
  }
  const latest = latestRun(schedule, after, until);
  if (latest === undefined) return { count: 0 };
  let count = 0;
  for (
    let at = nextRun(schedule, after);
    at !== undefined && at.getTime() <= until.getTime() && count < COUNTED;
    at = nextRun(schedule, at)
  )
    count++;
  return { latest, count };
}

function latestRun(schedule: CronSchedule, after: Date, until: Date): Date | undefined {
  const cron = cronOf(schedule);
  // croner looks before a whole second
  let before = new Date(Math.floor(until.getTime() / 1000) * 1000 + 1000);
  for (let looked = 0; looked < LOOKED_AT; looked++) {
    const [run] = cron.previousRuns(1, before);
    if (run === undefined || run.getTime() <= after.getTime()) return undefined;
    if (run.getTime() <= until.getTime() && isTurn(schedule, run)) return run;
    before = run;
  }
  return undefined;
}

/** Only asked for times: with neither a function nor a timer, croner is arithmetic. */
const cronOf = ({ cron, zone }: CronSchedule): Cron => new Cron(cron, { timezone: zone, paused: true });

/** Whether the day, week or month of a run is one that counts. */
function isTurn({ every, from, zone }: CronSchedule, run: Date): boolean {
  const first = dayNumber(from) ?? 0;
  const { day, month } = localDay(run, zone);
  if (day < first) return false;
  if (every.unit === "days") return (day - first) % every.count === 0;
  // 1970-01-01 was a Thursday: day -3 a Monday
  if (every.unit === "weeks") return (Math.floor((day + 3) / 7) - Math.floor((first + 3) / 7)) % every.count === 0;
  const start = new Date(first * DAY_MS);
  return (month - (start.getUTCFullYear() * 12 + start.getUTCMonth())) % every.count === 0;
}
