import { z } from "zod";
import { cronProblem, type TextProblem } from "../cycle/cron-text.ts";
import { TRIGGERS, type CronSchedule, type CycleSettings, type MaintenanceWindow, type Schedule } from "../cycle/model.ts";
import { readCronSchedule, readRate, readScheduleText, type ReadSchedule } from "../cycle/schedule-text.ts";
import type { ValuePath } from "../expression/substitute.ts";
import { describeValue } from "./describe-value.ts";
import { LONG_DURATION, parseDuration } from "./duration.ts";
import { isMapping, readFields, type Inspection } from "./inspect.ts";

const SPAN_RULE = "must be a span such as 90m, 6h, 14d or 2w";

export const spanSchema = z
  .string(SPAN_RULE)
  .regex(LONG_DURATION, { error: SPAN_RULE, abort: true })
  .refine((text) => parseDuration(text) > 0, "must be more than nothing");

const cronFields = {
  cron: z.string().describe("Minute, hour, day of the month, month, day of the week: 0 3 * * MON"),
  every: z.string().optional().describe("Only every n-th period counts: 2 weeks, 3 days, 6 months"),
  from: z.string().optional().describe("First day, YYYY-MM-DD, and what `every` counts from; 2024-01-01 (a Monday) if absent"),
  zone: z.string().optional().describe("IANA time zone, such as Europe/Warsaw; UTC if absent"),
};
const rateFields = {
  rate: z.string().describe("The same span from run to run: 6h, 14d"),
  from: z.string().optional().describe("The first run: 2026-01-05, or 2026-01-05T03:00, in UTC"),
};

const scheduleSchema = z.union([
  z.string().describe("In words: every second Monday at 03:00 Europe/Warsaw"),
  z.strictObject(cronFields),
  z.strictObject(rateFields),
]);

/** The shape of one maintenance window. */
export const windowFields = {
  opens: z.union([z.string(), z.strictObject(cronFields)]).describe("When it opens, in words or as cron"),
  lasts: spanSchema.describe("How long it is open: 4h"),
  cutoff: spanSchema.optional().describe("How long before its end nothing begins any more: 1h; nothing if absent"),
};

const cycleFields = {
  schedule: scheduleSchema.optional().describe("When it runs by the clock: in words, as cron, or as a rate"),
  triggers: z
    .array(z.enum(TRIGGERS))
    .optional()
    .describe(
      "What makes it run besides: security (a locked package has a fix), packages (any newer version), parent (the image or channel below moved), sources (a tarball or OCI image changed)",
    ),
  look: spanSchema.optional().describe("How often triggers are looked at, 1h if absent"),
  windows: z.array(z.strictObject(windowFields)).optional().describe("When scheduled work may begin; always if absent"),
};

/** The shape of `cycle:`, for editors. */
export const cycleSchema = z.strictObject(cycleFields);

const HOUR_MS = 3_600_000;

/** More often is no use: mirrors change a few times a day (Debian's four). A minute is for tests and mirrors of one's own. */
const MIN_LOOK_MS = 60_000;

/** Reads `cycle:`. Nothing of it changes an image. @returns nothing when there is none, or something in it is wrong */
export function readCycle(inspection: Inspection, section: unknown): CycleSettings | undefined {
  if (section === undefined) return undefined;
  const path = ["cycle"];
  // schedules and windows are checked below, where more can be said about them
  const fields = readFields(inspection, section, path, { ...cycleFields, schedule: z.unknown(), windows: z.unknown() });
  if (fields === undefined || !isMapping(section)) return undefined;
  const schedule = fields.schedule === undefined ? undefined : readSchedule(inspection, fields.schedule, [...path, "schedule"]);
  const windows = fields.windows === undefined ? [] : readWindows(inspection, fields.windows, [...path, "windows"]);
  const triggers = [...new Set(fields.triggers ?? [])];
  const lookMs = fields.look === undefined ? HOUR_MS : parseDuration(fields.look);
  if (lookMs < MIN_LOOK_MS) inspection.error([...path, "look"], "is shorter than a minute", "mirrors change a few times a day: 1h");
  if (section["schedule"] === undefined && section["triggers"] === undefined)
    inspection.error(path, 'has neither "schedule" nor "triggers"', "schedule: every second Monday at 03:00 Europe/Warsaw", "key");
  if (section["look"] !== undefined && triggers.length === 0)
    inspection.warn([...path, "look"], "has no triggers to look at", `triggers: [${TRIGGERS[0]}]`);
  return { ...(schedule === undefined ? {} : { schedule }), triggers, lookMs, windows };
}

function readSchedule(inspection: Inspection, value: unknown, path: ValuePath): Schedule | undefined {
  if (typeof value === "string") return told(inspection, readScheduleText(value), path);
  if (!isMapping(value)) {
    inspection.error(path, `expected a text or a mapping, found ${describeValue(value)}`, SCHEDULE_HINT);
    return undefined;
  }
  if (value["rate"] !== undefined) {
    const fields = readFields(inspection, value, path, rateFields);
    return fields?.rate === undefined ? undefined : told(inspection, readRate(fields.rate, fields.from), path);
  }
  return readCron(inspection, value, path);
}

const SCHEDULE_HINT =
  "every second Monday at 03:00 Europe/Warsaw; { cron: 0 3 * * MON, every: 2 weeks, zone: Europe/Warsaw }; { rate: 14d }";

function readCron(inspection: Inspection, value: unknown, path: ValuePath): CronSchedule | undefined {
  const fields = readFields(inspection, value, path, cronFields);
  if (fields?.cron === undefined) return undefined;
  const problem = cronProblem(fields.cron);
  if (problem !== undefined) tell(inspection, problem, [...path, "cron"]);
  const schedule = told(inspection, readCronSchedule({ ...fields, cron: fields.cron }), path);
  return problem === undefined && schedule?.kind === "cron" ? schedule : undefined;
}

/** Reads a list of maintenance windows. */
export function readWindows(inspection: Inspection, value: unknown, path: ValuePath): readonly MaintenanceWindow[] {
  if (!Array.isArray(value)) {
    inspection.error(
      path,
      `expected a list, found ${describeValue(value)}`,
      "- { opens: every Saturday at 22:00 Europe/Warsaw, lasts: 4h }",
    );
    return [];
  }
  return value.flatMap((item: unknown, index) => readWindow(inspection, item, [...path, index]) ?? []);
}

function readWindow(inspection: Inspection, value: unknown, path: ValuePath): MaintenanceWindow | undefined {
  const fields = readFields(inspection, value, path, { ...windowFields, opens: z.unknown() });
  if (fields === undefined || !isMapping(value)) return undefined;
  if (value["opens"] === undefined) {
    if (!("opens" in value)) inspection.error(path, '"opens" is missing', "opens: every Saturday at 22:00 Europe/Warsaw", "key");
    return undefined;
  }
  const opens = readOpening(inspection, value["opens"], [...path, "opens"]);
  if (opens === undefined || fields.lasts === undefined) return undefined;
  const lastsMs = parseDuration(fields.lasts);
  const cutoffMs = fields.cutoff === undefined ? 0 : parseDuration(fields.cutoff);
  if (cutoffMs >= lastsMs) inspection.error([...path, "cutoff"], "leaves nothing of the window", "make it shorter than lasts");
  return { opens, lastsMs, cutoffMs };
}

/** A window needs a time of the day: one that opens every 6 hours of a stopwatch is not what anybody means. */
function readOpening(inspection: Inspection, value: unknown, path: ValuePath): CronSchedule | undefined {
  if (typeof value !== "string") return readCron(inspection, value, path);
  const schedule = told(inspection, readScheduleText(value), path);
  if (schedule === undefined || schedule.kind === "cron") return schedule;
  inspection.error(path, "says no time of the day", "for example every Saturday at 22:00 Europe/Warsaw");
  return undefined;
}

function told(inspection: Inspection, read: ReadSchedule, path: ValuePath): Schedule | undefined {
  if ("schedule" in read) return read.schedule;
  tell(inspection, read.problem, path);
  return undefined;
}

const tell = (inspection: Inspection, { message, hint }: TextProblem, path: ValuePath): void => inspection.error(path, message, hint);
