import { z } from "zod";

/** Stands before each event of the callback plugin (plugin/callback/bakehouse.py), so that no output of a task looks like one. */
const MARK = "\u001ebakehouse ";

const where = { play: z.string().nullish(), task: z.string(), action: z.string(), path: z.string().nullish() };

const eventSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("play"), play: z.string(), tasks: z.number() }),
  z.object({ event: z.literal("unmatched"), play: z.string().nullish() }),
  z.object({ event: z.literal("task"), ...where, handler: z.boolean().optional() }),
  z.object({
    event: z.literal("result"),
    ...where,
    host: z.string(),
    status: z.enum(["ok", "changed", "failed", "skipped", "unreachable", "retry"]),
    ignored: z.boolean().optional(),
    hidden: z.boolean(),
    item: z.string().optional(),
    say: z.string().optional(),
    warnings: z.array(z.string()),
    details: z.record(z.string(), z.string()).optional(),
  }),
  z.object({ event: z.literal("diff"), ...where, host: z.string(), diff: z.string() }),
  z.object({
    event: z.literal("stats"),
    hosts: z.record(
      z.string(),
      z.object({
        ok: z.number(),
        failures: z.number(),
        unreachable: z.number(),
        changed: z.number(),
        skipped: z.number(),
        rescued: z.number(),
        ignored: z.number(),
      }),
    ),
  }),
]);

export type PlaybookEvent = z.infer<typeof eventSchema>;
export type TaskResult = Extract<PlaybookEvent, { event: "result" }>;

/** The event on a line of the controller's output, or undefined for other output. */
export function parseEvent(line: string): PlaybookEvent | undefined {
  if (!line.startsWith(MARK)) return undefined;
  return eventSchema.parse(JSON.parse(line.slice(MARK.length)));
}
