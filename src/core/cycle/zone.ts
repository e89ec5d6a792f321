import { didYouMean } from "../text/did-you-mean.ts";
import type { TextProblem } from "./cron-text.ts";

/** Days since 1970 of a date `YYYY-MM-DD`; undefined when there is no such day. */
export function dayNumber(date: string): number | undefined {
  const [, year, month, day] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date) ?? [];
  if (year === undefined) return undefined;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day));
  return new Date(ms).toISOString().startsWith(date) ? ms / DAY_MS : undefined;
}

export const DAY_MS = 86_400_000;

/** A moment as the calendar of a zone shows it. */
export interface LocalDay {
  /** Days since 1970. */
  readonly day: number;
  /** Months since the year 0. */
  readonly month: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

export function localDay(moment: Date, zone: string): LocalDay {
  const format =
    formats.get(zone) ??
    new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", calendar: "iso8601" });
  formats.set(zone, format);
  const part = Object.fromEntries(format.formatToParts(moment).map(({ type, value }) => [type, value]));
  const date = `${part["year"] ?? ""}-${part["month"] ?? ""}-${part["day"] ?? ""}`;
  return { day: dayNumber(date) ?? 0, month: Number(part["year"]) * 12 + Number(part["month"]) - 1 };
}

/** What is wrong with the name of a time zone. */
export function zoneProblem(zone: string): TextProblem | undefined {
  // offsets such as +01:00 are taken by Intl, and know nothing of summer
  if (/^[A-Za-z]/.test(zone) && isZone(zone)) return undefined;
  const near = didYouMean(zone, Intl.supportedValuesOf("timeZone"));
  return {
    message: `there is no time zone ${JSON.stringify(zone)}`,
    hint: near === undefined ? "use an IANA name, such as Europe/Warsaw, or UTC" : `did you mean ${near}?`,
  };
}

function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** `2026-01-05 03:00 Europe/Warsaw`: a moment as people of a zone read it. */
export function showLocal(moment: Date, zone: string): string {
  const parts = new Intl.DateTimeFormat("en-CA", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).formatToParts(moment);
  const part = Object.fromEntries(parts.map(({ type, value }) => [type, value]));
  return `${part["weekday"] ?? ""} ${part["year"] ?? ""}-${part["month"] ?? ""}-${part["day"] ?? ""} ${part["hour"] ?? ""}:${part["minute"] ?? ""} ${zone}`;
}
