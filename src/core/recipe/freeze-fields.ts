import { z } from "zod";
import { cronProblem, isTimeZone } from "../channel/freeze.ts";

/** When a freeze begins. */
export const cronSchema = z
  .string()
  .superRefine((text, context) => {
    const problem = cronProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: `is not a cron expression: ${problem}` });
  })
  .describe("When it begins: minute hour day month weekday, in the zone");

export const zoneSchema = z.string().refine(isTimeZone, "must be an IANA time zone, such as Europe/Warsaw or UTC");
