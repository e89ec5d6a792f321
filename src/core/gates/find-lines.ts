import { findsIn, type Pattern } from "../text/pattern.ts";
import type { Reading } from "./model.ts";
import { plural } from "./words.ts";

/** Searches the lines of one instance; the pattern may match anywhere in a line unless it has ^ or $. */
export function searchLines(pattern: Pattern, from: string, lines: readonly string[]): Reading {
  const found = lines.map((line) => ({ line, answer: findsIn(pattern, line) }));
  const undecided = found.filter(({ answer }) => typeof answer === "string").length;
  return {
    ...{ from, lines: lines.length, matching: found.flatMap(({ line, answer }) => (answer === true ? [line] : [])) },
    ...(undecided === 0 ? {} : { doubt: `${plural(undecided, "line")} too long to be searched` }),
  };
}

/** How journalctl begins a line (`--output=short-iso`): 2026-11-26T02:45:21+0000. */
const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?)(?:(Z)|([+-]\d\d):?(\d\d))/;

/**
 * The lines from a moment on. A line without a time of its own goes with the one before; where none has a time, all count.
 *
 * @param epochMs  UTC, milliseconds; a line of the same second counts, since the stamps have no more
 */
export function linesSince(lines: readonly string[], epochMs: number): readonly string[] {
  const first = lines.findLastIndex((line) => (stampOf(line) ?? Infinity) < Math.floor(epochMs / 1000) * 1000);
  if (first < 0) return lines;
  const next = lines.findIndex((line, index) => index > first && stampOf(line) !== undefined);
  return next < 0 ? [] : lines.slice(next);
}

function stampOf(line: string): number | undefined {
  const [, time, utc, hours, minutes] = STAMP.exec(line) ?? [];
  if (time === undefined) return undefined;
  const moment = Date.parse(`${time.replace(",", ".")}${utc ?? `${hours}:${minutes}`}`);
  return Number.isNaN(moment) ? undefined : moment;
}
