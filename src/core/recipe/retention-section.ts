import { z } from "zod";
import { suggestion } from "../text/did-you-mean.ts";
import type { RetentionRules, Retention } from "../retention/model.ts";
import { spanSchema } from "./cycle-section.ts";
import { parseDuration } from "./duration.ts";
import { isMapping, readFields, type Inspection } from "./inspect.ts";

const keepSchema = z.int().min(1).max(1000);

const ruleFields = {
  keep: keepSchema.optional().describe("How many of the newest images to keep"),
  "younger-than": spanSchema.optional().describe("Keep all that are younger than this: 30d"),
};

const retentionFields = {
  ...ruleFields,
  grace: spanSchema.optional().describe("How long what goes can be brought back: 7d; at once if absent"),
  channels: z
    .record(z.string(), keepSchema)
    .optional()
    .describe("Of a channel, how many of the images that it pointed at to keep, the one of now included"),
  layers: z.record(z.string(), z.strictObject(ruleFields)).optional().describe("Other rules for the images of single layers"),
};

/** The shape of `retention:`, for editors. */
export const retentionSchema = z.strictObject(retentionFields);

/** Reads `retention:`. Nothing of it changes an image. @param known  names of the recipe's layers and channels */
export function readRetention(
  inspection: Inspection,
  section: unknown,
  { layers, channels }: { readonly layers: readonly string[]; readonly channels: readonly string[] },
): Retention | undefined {
  if (section === undefined) return undefined;
  const path = ["retention"];
  const fields = readFields(inspection, section, path, { ...retentionFields, layers: z.record(z.string(), z.unknown()).optional() });
  if (fields === undefined) return undefined;
  const own = Object.entries(fields.layers ?? {}).flatMap(([name, rules]): readonly (readonly [string, RetentionRules])[] => {
    const place = [...path, "layers", name];
    if (!layers.includes(name))
      inspection.error(place, `there is no layer ${JSON.stringify(name)}`, suggestion(name, layers, "layers"), "key");
    const read = isMapping(rules) && Object.keys(rules).length === 0 ? undefined : readFields(inspection, rules, place, ruleFields);
    return read === undefined ? [] : [[name, rulesOf(read)]];
  });
  for (const name of Object.keys(fields.channels ?? {}))
    if (!channels.includes(name))
      inspection.error(
        [...path, "channels", name],
        `there is no channel ${JSON.stringify(name)}`,
        suggestion(name, channels, "channels") ?? "declare it under channels:",
        "key",
      );
  return {
    ...rulesOf(fields),
    graceMs: fields.grace === undefined ? 0 : parseDuration(fields.grace),
    channels: fields.channels ?? {},
    layers: Object.fromEntries(own),
  };
}

const rulesOf = (fields: { readonly keep?: number | undefined; readonly "younger-than"?: string | undefined }): RetentionRules => ({
  ...(fields.keep === undefined ? {} : { keep: fields.keep }),
  ...(fields["younger-than"] === undefined ? {} : { youngerThanMs: parseDuration(fields["younger-than"]) }),
});
