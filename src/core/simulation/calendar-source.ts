import { z } from "zod";
import { cronSchema, zoneSchema } from "../recipe/freeze-fields.ts";
import type { MaintenanceWindow } from "../cycle/model.ts";
import { readScheduleText } from "../cycle/schedule-text.ts";
import type { Calendar } from "../rollout/freeze.ts";
import { exempt, name, span } from "./scenario-parts.ts";

const freeze = z
  .strictObject({
    cron: cronSchema,
    duration: span().describe("How long it lasts"),
    zone: zoneSchema.optional().describe("UTC if absent"),
    reason: name(),
    exempt: exempt(),
  })
  .transform(({ duration, zone = "UTC", exempt: freed = [], ...rest }) => ({ ...rest, zone, durationMs: duration, exempt: freed }));

const window = z
  .strictObject({
    opens: z.string().describe("In words: every Saturday at 22:00 Europe/Warsaw"),
    lasts: span(),
    cutoff: span().optional().describe("How long before its end nothing begins any more; nothing if absent"),
  })
  .transform(({ opens, lasts, cutoff = 0 }, context): MaintenanceWindow => {
    const read = readScheduleText(opens);
    if ("schedule" in read && read.schedule.kind === "cron") return { opens: read.schedule, lastsMs: lasts, cutoffMs: cutoff };
    const message = "problem" in read ? `${read.problem.message}; ${read.problem.hint ?? ""}` : "says no time of the day";
    context.addIssue({ code: "custom", message, input: opens, path: ["opens"] });
    return z.NEVER;
  });

/** When something new may start on a fleet, as a scenario writes it. */
export const calendarSchema = z
  .strictObject({
    freezes: z.array(freeze).optional().describe("Nothing new starts from each of these times, for so long"),
    windows: z.array(window).optional().describe("Nothing new starts outside of them; always if absent"),
  })
  .transform(({ freezes = [], windows = [] }): Calendar => ({ freezes, windows, stops: [] }));
