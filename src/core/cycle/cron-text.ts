import { didYouMean } from "../text/did-you-mean.ts";

/** What is wrong with a text that people wrote, and what to write instead. */
export interface TextProblem {
  readonly message: string;
  readonly hint: string;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: readonly Field[] = [
  { name: "minute", min: 0, max: 59, names: [] },
  { name: "hour", min: 0, max: 23, names: [] },
  { name: "day of the month", min: 1, max: 31, names: [] },
  { name: "month", min: 1, max: 12, names: MONTHS },
  { name: "day of the week", min: 0, max: 7, names: DAYS },
];

const FORM = "minute hour day month weekday, such as 0 3 * * MON";

/**
 * Checks the five fields of a cron line: lists, ranges, steps, names, `MON#2` and `MON#L` (the second and the last Monday of a
 * month) and `L` (the last day of a month). What passes here, croner takes as well.
 *
 * @returns what is wrong with the first field that is wrong; nothing when all is well
 * @example cronProblem("61 3 * * MON") // { message: "the minute 61 is not between 0 and 59", … }
 */
export function cronProblem(text: string): TextProblem | undefined {
  const parts = text.trim().split(/\s+/);
  if (text.trim() === "" || parts.length !== FIELDS.length)
    return { message: `has ${text.trim() === "" ? 0 : parts.length} fields, a cron line has five`, hint: FORM };
  for (const [index, field] of FIELDS.entries()) {
    for (const part of (parts[index] ?? "").split(",")) {
      const problem = partProblem(part, field);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

function partProblem(part: string, field: Field): TextProblem | undefined {
  if (field.name === "day of the month" && part === "L") return undefined;
  const [range = "", step, ...more] = part.split("/");
  if (more.length > 0 || (step !== undefined && !isBetween(step, 1, field.max)))
    return {
      message: `the ${field.name} ${JSON.stringify(part)} has a step that makes no sense`,
      hint: `*/5 is every fifth ${field.name}`,
    };
  if (range === "*") return undefined;
  if (step !== undefined && !range.includes("-"))
    return {
      message: `the ${field.name} ${JSON.stringify(part)} has a step without a range`,
      hint: `write */${step}, or a range: ${field.min}-${field.max}/${step}`,
    };
  const [day = "", nth, ...rest] = range.split("#");
  if (nth !== undefined) {
    if (field.name !== "day of the week" || rest.length > 0 || !/^[1-5L]$/.test(nth))
      return {
        message: `the ${field.name} ${JSON.stringify(part)} is not understood`,
        hint: "MON#2 is the second Monday of a month, MON#L the last",
      };
    return valueProblem(day, field);
  }
  const [low = "", high, ...others] = range.split("-");
  if (others.length > 0) return { message: `the ${field.name} ${JSON.stringify(part)} is not understood`, hint: FORM };
  const problem = valueProblem(low, field) ?? (high === undefined ? undefined : valueProblem(high, field));
  if (problem !== undefined || high === undefined) return problem;
  return numberOf(low, field) <= numberOf(high, field)
    ? undefined
    : { message: `the ${field.name} ${range} ends before it begins`, hint: `write ${low}-${field.max},${field.min}-${high}` };
}

function valueProblem(value: string, field: Field): TextProblem | undefined {
  if (/^\d+$/.test(value))
    return isBetween(value, field.min, field.max)
      ? undefined
      : { message: `the ${field.name} ${value} is not between ${field.min} and ${field.max}`, hint: FORM };
  if (field.names.includes(value.toUpperCase())) return undefined;
  const near = didYouMean(value.toUpperCase(), field.names);
  return {
    message: `the ${field.name} ${JSON.stringify(value)} is not understood`,
    hint:
      near !== undefined
        ? `did you mean ${near}?`
        : field.names.length > 0
          ? `${field.min} to ${field.max}, or ${field.names.join(", ")}`
          : FORM,
  };
}

const isBetween = (text: string, min: number, max: number): boolean => /^\d+$/.test(text) && Number(text) >= min && Number(text) <= max;

/** Names count as their numbers. A week may end on 7, which is Sunday as 0 is. */
const numberOf = (value: string, field: Field): number =>
  /^\d+$/.test(value) ? Number(value) : field.names.indexOf(value.toUpperCase()) + field.min;
