import { z } from "zod";
import { NOTICE_TYPES, type NoticeType } from "../notices/notice.ts";
import type { NotifyTarget } from "../notices/target.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { spanSchema } from "./cycle-section.ts";
import { parseDuration } from "./duration.ts";
import { isMapping, readFields, type Inspection } from "./inspect.ts";
import { nameSchema } from "./schema.ts";

const webhookSchema = z
  .string()
  .refine((url) => /^https?:\/\/[^\s/]+/.test(url), "must start with http:// or https://")
  .refine((url) => !/^https?:\/\/[^/]*@/.test(url), "must not hold a user name or password: sign with `secret`");

const notifyFields = {
  webhook: webhookSchema.optional().describe("POST each event as JSON to this address"),
  command: z.array(z.string().min(1)).min(1).optional().describe("Run this program for each event, with the JSON on its standard input"),
  file: z.string().min(1).optional().describe("Append each event as a line of JSON to this file; relative to the recipe's folder"),
  secret: z.string().optional().describe("Name of a secret of the recipe that signs the body of a webhook (HMAC-SHA256)"),
  events: z.array(z.string()).min(1).optional().describe("Only these: cycle.failed, or all of a kind: cycle.*; all if absent"),
  timeout: spanSchema.optional().describe("How long one try of a webhook or command may take, 10s if absent"),
  retries: z.int().min(0).max(20).optional().describe("How often a webhook or command is tried again, 3 if absent"),
};

/** The shape of one entry of `notify:`, for editors. */
export const notifySchema = z.strictObject(notifyFields);

const TIMEOUT_MS = 10_000;
const RETRIES = 3;

/** What `notify:` gives, and which secrets it uses. */
export interface ReadNotify {
  readonly targets: readonly NotifyTarget[];
  readonly secrets: readonly string[];
}

/** Reads `notify:`, a mapping of names to where events go. Nothing of it changes an image. */
export function readNotify(inspection: Inspection, section: Readonly<Record<string, unknown>>, secrets: readonly string[]): ReadNotify {
  const targets = Object.entries(section).flatMap(([name, value]) => readTarget(inspection, name, value, secrets) ?? []);
  return { targets, secrets: targets.flatMap(({ to }) => (to.kind === "webhook" && to.secret !== undefined ? [to.secret] : [])) };
}

function readTarget(inspection: Inspection, name: string, value: unknown, secrets: readonly string[]): NotifyTarget | undefined {
  const path = ["notify", name];
  inspection.check(nameSchema, name, path);
  const fields = readFields(inspection, value, path, notifyFields);
  if (fields === undefined || !isMapping(value)) return undefined;
  const kinds = (["webhook", "command", "file"] as const).filter((kind) => Object.hasOwn(value, kind));
  if (kinds.length !== 1)
    inspection.error(
      path,
      kinds.length === 0 ? "says not where to" : `has ${kinds.join(" and ")}`,
      "give one of webhook, command and file",
      "key",
    );
  const { secret } = fields;
  if (secret !== undefined && !secrets.includes(secret))
    inspection.error(
      [...path, "secret"],
      `there is no secret ${JSON.stringify(secret)}`,
      suggestion(secret, secrets, "secrets") ?? "declare it under secrets:",
    );
  if (secret !== undefined && !kinds.includes("webhook")) inspection.error([...path, "secret"], "signs webhooks only", "remove it", "key");
  const events = (fields.events ?? []).map((event, index) => {
    if (!isKnown(event))
      inspection.error([...path, "events", index], `there is no event ${JSON.stringify(event)}`, suggestion(event, NOTICE_TYPES, "events"));
    return event;
  });
  const to = placeOf(fields);
  if (to === undefined) return undefined;
  return {
    name,
    to,
    events,
    timeoutMs: fields.timeout === undefined ? TIMEOUT_MS : parseDuration(fields.timeout),
    retries: fields.retries ?? RETRIES,
  };
}

const isKnown = (event: string): boolean =>
  event === "*" ||
  NOTICE_TYPES.includes(event as NoticeType) ||
  (event.endsWith(".*") && NOTICE_TYPES.some((type) => type.startsWith(event.slice(0, -1))));

function placeOf(fields: {
  readonly webhook?: string | undefined;
  readonly secret?: string | undefined;
  readonly command?: readonly string[] | undefined;
  readonly file?: string | undefined;
}): NotifyTarget["to"] | undefined {
  if (fields.webhook !== undefined)
    return { kind: "webhook", url: fields.webhook, ...(fields.secret === undefined ? {} : { secret: fields.secret }) };
  if (fields.command !== undefined) return { kind: "command", argv: fields.command };
  return fields.file === undefined ? undefined : { kind: "file", path: fields.file };
}
