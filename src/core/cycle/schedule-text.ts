import { didYouMean } from "../text/did-you-mean.ts";
import { LONG_DURATION, parseDuration } from "../recipe/duration.ts";
import type { TextProblem } from "./cron-text.ts";
import type { CronSchedule, Period, Schedule } from "./model.ts";
import { dayNumber, zoneProblem } from "./zone.ts";

/** What `every` counts from when nothing is said: a Monday, the first of a month and a year. */
const DEFAULT_FROM = "2024-01-01";
const DEFAULT_ZONE = "UTC";

/** A minute is as often as anybody looks. */
const MIN_RATE_MS = 60_000;
/** A year: what comes more seldom is no cycle (a guess). */
const MAX_RATE_MS = 366 * 86_400_000;

export type ReadSchedule = { readonly schedule: Schedule } | { readonly problem: TextProblem };

const EXAMPLES = 'for example "every second Monday at 03:00 Europe/Warsaw", "every weekday at 22:30", "every 6 hours"';

const DAY_NAMES = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const ORDINALS = ["", "first", "second", "third", "fourth", "fifth"];

/**
 * Reads a schedule in words.
 *
 *     every [second|third|4th] (day | weekday | Monday[ and Friday]…) at 03:00 [Zone/City] [from 2026-01-05]
 *     every (first|second|…|last) Monday of the month at 03:00 [Zone/City] [from 2026-01-05]
 *     every 14 days | every 6 hours | every 90 minutes     [from 2026-01-05]
 *
 * @example readScheduleText("every second Monday at 03:00 Europe/Warsaw")
 */
export function readScheduleText(text: string): ReadSchedule {
  const words = text.trim().replaceAll(/\s+/g, " ");
  const rate = /^every (\d+) (minute|hour|day|week)s?(?: from (\S+))?$/i.exec(words);
  if (rate !== null) {
    const [, count = "", unit = "", from] = rate;
    return readRate(`${count}${unit[0]?.toLowerCase() ?? ""}`, from);
  }
  if (!/^every /i.test(words)) return wrong("does not begin with every", EXAMPLES);
  const [, what = "", time, tail = ""] = /^every (.*?)(?: at)?(?: (\d{1,2}:\d{2}))(?: (.*))?$/i.exec(words) ?? [];
  if (time === undefined) return wrong("says no time of the day", EXAMPLES);
  const clock = readClock(time);
  if (clock === undefined) return wrong(`has the time ${time}, which no clock shows`, "use 00:00 to 23:59");
  const [, zone = DEFAULT_ZONE, from = DEFAULT_FROM] = /^(?:(?!from )(\S+))?(?: ?from (\S+))?$/i.exec(tail) ?? [undefined, tail];
  const days = readDays(what.toLowerCase());
  if ("problem" in days) return days;
  return finished({ kind: "cron", cron: `${clock} ${days.cron}`, every: days.every, from, zone });
}

/** `{ cron, every, from, zone }` as a recipe writes them; the cron line itself is checked before. */
export function readCronSchedule(fields: {
  readonly cron: string;
  readonly every?: string | undefined;
  readonly from?: string | undefined;
  readonly zone?: string | undefined;
}): ReadSchedule {
  const every = fields.every === undefined ? EACH : readPeriod(fields.every);
  if (every === undefined) return wrong(`has every: ${JSON.stringify(fields.every)}`, "say how many of what: 2 weeks, 3 days, 6 months");
  return finished({
    kind: "cron",
    cron: fields.cron.trim().replaceAll(/\s+/g, " "),
    every,
    from: fields.from ?? DEFAULT_FROM,
    zone: fields.zone ?? DEFAULT_ZONE,
  });
}

/** `14d`, and the moment of the first run: a date, or a date and time, in UTC. */
export function readRate(rate: string, from = DEFAULT_FROM): ReadSchedule {
  const everyMs = LONG_DURATION.test(rate) ? parseDuration(rate) : 0;
  if (everyMs < MIN_RATE_MS || everyMs > MAX_RATE_MS)
    return wrong(`has the rate ${JSON.stringify(rate)}`, "use a span between a minute and a year: 6h, 14d, 2w");
  const isMoment = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z?)?$/.test(from) && dayNumber(from.slice(0, 10)) !== undefined;
  const fromMs = isMoment ? Date.parse(from.length === 10 ? `${from}T00:00:00Z` : `${from.replace(/Z$/, "")}Z`) : Number.NaN;
  if (Number.isNaN(fromMs)) return wrong(`begins at ${JSON.stringify(from)}`, "use a date such as 2026-01-05, or 2026-01-05T03:00 in UTC");
  return { schedule: { kind: "rate", everyMs, fromMs } };
}

const EACH: Period = { count: 1, unit: "days" };

function readPeriod(text: string): Period | undefined {
  const [, count = "", unit = ""] = /^(\d{1,3}) (day|week|month)s?$/i.exec(text.trim()) ?? [];
  if (Number(count) < 1) return undefined;
  return { count: Number(count), unit: `${unit.toLowerCase() as "day" | "week" | "month"}s` };
}

function finished(schedule: CronSchedule): ReadSchedule {
  if (dayNumber(schedule.from) === undefined) return wrong(`begins on ${JSON.stringify(schedule.from)}`, "use a date such as 2026-01-05");
  const problem = zoneProblem(schedule.zone);
  return problem === undefined ? { schedule } : { problem };
}

/** `03:05` → `5 3`, the first two fields of a cron line. */
function readClock(time: string): string | undefined {
  const [hour = 0, minute = 0] = time.split(":").map(Number);
  return hour > 23 || minute > 59 ? undefined : `${minute} ${hour}`;
}

type ReadDays = { readonly cron: string; readonly every: Period } | { readonly problem: TextProblem };

function readDays(what: string): ReadDays {
  const [, ordinal = "", name = ""] = /^(\S+) (\S+) of (?:the|each|every) month$/.exec(what) ?? [];
  if (name !== "") {
    const nth = ordinal === "last" ? "L" : ORDINALS.indexOf(ordinal);
    const day = readDay(name);
    if (typeof day !== "number") return day;
    if (nth === 0 || nth === -1) return wrong(`counts with ${JSON.stringify(ordinal)}`, "use first, second, third, fourth, fifth or last");
    return { cron: `* * ${CRON_DAYS[day] ?? ""}#${nth}`, every: EACH };
  }
  const [, turn, rest = what] = /^(other|second|third|fourth|fifth|\d+(?:st|nd|rd|th)) (.*)$/.exec(what) ?? [];
  const count = turn === undefined ? 1 : turn === "other" ? 2 : Math.max(ORDINALS.indexOf(turn), Number.parseInt(turn, 10) || 0);
  if (rest === "day") return { cron: "* * *", every: { count, unit: "days" } };
  const every: Period = count === 1 ? EACH : { count, unit: "weeks" };
  if (rest === "weekday") return { cron: "* * MON-FRI", every };
  const days = rest.split(/,? and |, ?/).map(readDay);
  const problem = days.find((day): day is { readonly problem: TextProblem } => typeof day !== "number");
  if (problem !== undefined) return problem;
  return { cron: `* * ${days.map((day) => CRON_DAYS[Number(day)] ?? "").join(",")}`, every };
}

const CRON_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

function readDay(name: string): number | { readonly problem: TextProblem } {
  const day = DAY_NAMES.indexOf(name);
  if (day >= 0) return day;
  const near = didYouMean(name, [...DAY_NAMES, "day", "weekday"]);
  return wrong(`has ${JSON.stringify(name)} where a day should be`, near === undefined ? EXAMPLES : `did you mean ${near}?`);
}

const wrong = (message: string, hint: string): { readonly problem: TextProblem } => ({ problem: { message, hint } });

/** A schedule in words, as people read it: for plans and status. */
export function describeSchedule(schedule: Schedule): string {
  if (schedule.kind === "rate")
    return `every ${describeSpan(schedule.everyMs)}, counted from ${new Date(schedule.fromMs).toISOString().slice(0, 16)}Z`;
  const { cron, every, zone, from } = schedule;
  const turns = every.count === 1 ? "" : `, every ${every.count} ${every.unit} from ${from}`;
  return `cron ${cron}${turns}, ${zone}`;
}

/** `14d`, `6h`, `1h 30m`: the two greatest units. */
export function describeSpan(ms: number): string {
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1000],
  ] as const;
  let rest = Math.max(ms, 0);
  const parts = units.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count === 0 ? [] : [`${count}${unit}`];
  });
  return parts.length === 0 ? "0s" : parts.slice(0, 2).join(" ");
}
