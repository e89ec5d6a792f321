import { z } from "zod";
import type { Channel, Channels, FreezeWindow, RequiredChecks } from "../channel/model.ts";
import type { CheckPlatform } from "../checks/verdict.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { describeValue, quote } from "./describe-value.ts";
import { LONG_DURATION, parseDuration } from "./duration.ts";
import { cronSchema, zoneSchema } from "./freeze-fields.ts";
import type { Inspection } from "./inspect.ts";
import { isMapping, readFields } from "./inspect.ts";
import type { RecipeLayer } from "./model.ts";
import { nameSchema } from "./schema.ts";

/** Ten years: longer is a mistake (a guess). */
const MAX_TIME_MS = 10 * 365 * 86_400_000;

const TIME_RULE = "must be a time such as 90m, 36h, 14d or 2w";

const timeSchema = z
  .string(TIME_RULE)
  .regex(LONG_DURATION, { error: TIME_RULE, abort: true })
  .refine((text) => parseDuration(text) > 0 && parseDuration(text) <= MAX_TIME_MS, "must be more than nothing and at most ten years");

const checkNamesSchema = z.union([
  z.literal("all").describe("Every check that the recipe declares for the image"),
  z.array(z.string().min(1)).min(1).describe("Names of checks"),
]);

const platformsSchema = z
  .strictObject({
    cell: checkNamesSchema.optional().describe("Those that run in a cell"),
    vm: checkNamesSchema.optional().describe("Those that run in a virtual machine"),
    tree: checkNamesSchema.optional().describe("Those that read the tree of the image"),
  })
  .describe("What must have passed on each platform");

const PERSON_RULE = "must be a person such as anna or anna@host";
const personSchema = z
  .string()
  .max(200)
  .regex(/^[^\s@]+(?:@[^\s@]+)?$/, PERSON_RULE);

/** More people than this never agree (a guess). */
const MAX_APPROVALS = 20;
const countSchema = z.int().min(1).max(MAX_APPROVALS);

const approvalsSchema = z.union([
  countSchema.describe("How many people must approve"),
  z.strictObject({
    count: countSchema.optional().describe("How many of them; 1 if absent"),
    by: z.array(personSchema).min(1).describe("The people who may: anna (on any host) or anna@host"),
  }),
]);

const sbomSchema = z.strictObject({
  forbidPackages: z.array(z.string().min(1)).min(1).optional().describe("Packages that must not be in the image, with * for anything"),
  forbidLicences: z.array(z.string().min(1)).min(1).optional().describe("SPDX ids of licences that nothing in the image may have, with *"),
  securityUpdates: timeSchema.optional().describe("No security update is missing that has been out for longer than this"),
});

/** One entry of `freeze:`. */
export const windowSchema = z.strictObject({
  cron: cronSchema,
  duration: timeSchema.describe("How long it lasts: 90m, 36h, 2d"),
  zone: zoneSchema.default("UTC").describe("IANA time zone of the cron expression"),
  reason: z.string().optional().describe("Shown to whoever is refused"),
});

export const channelFields = {
  description: z.string().optional().describe("What the channel is for"),
  checks: z
    .union([checkNamesSchema, platformsSchema])
    .optional()
    .describe("Checks that must have passed for exactly this image: all, names, or { cell, vm, tree } with all or names each"),
  minTime: timeSchema.optional().describe("How long the image must have been in the channel before: 30m, 36h, 14d"),
  approvals: approvalsSchema.optional().describe("How many people must approve, and who may; never the one who baked it"),
  evidenceMaxAge: timeSchema.optional().describe("Checks that ran longer ago do not count"),
  sbom: sbomSchema.optional().describe("What must not be in the image, and what must"),
  freeze: z.array(windowSchema).min(1).optional().describe("When no image enters the channel"),
};

/** Reads `channels:`, whose order is the way of an image from the first to the last. Mistakes are told to the inspection. */
export function readChannels(
  inspection: Inspection,
  section: Readonly<Record<string, unknown>>,
  layers: readonly Pick<RecipeLayer, "from" | "checks">[],
): Channels {
  const channels = channelsOf(inspection, section);
  warnAboutUnknownChecks(inspection, channels, layers);
  return channels;
}

/** A name that no layer has keeps the gate shut for ever; a parent from outside may bring it, though. */
function warnAboutUnknownChecks(inspection: Inspection, channels: Channels, layers: readonly Pick<RecipeLayer, "from" | "checks">[]): void {
  if (layers.some(({ from }) => from !== undefined && "image" in from)) return;
  const known = [...new Set(layers.flatMap(({ checks }) => checks.map(({ id, givenName }) => givenName ?? id)))];
  for (const { name, checks } of channels)
    for (const wanted of checks.flatMap(({ names }) => (names === "all" ? [] : names)))
      if (!known.includes(wanted.replace(/-\d+$/, "")) && !known.includes(wanted))
        inspection.warn(["channels", name, "checks"], `no layer has a check ${quote(wanted)}`, suggestion(wanted, known, "checks"));
}

function channelsOf(inspection: Inspection, section: Readonly<Record<string, unknown>>): Channels {
  return Object.entries(section).flatMap(([name, declaration], index): readonly Channel[] => {
    const path = ["channels", name];
    inspection.check(nameSchema, name, path);
    if (declaration !== null && !isMapping(declaration)) {
      inspection.error(
        path,
        `expected a mapping, found ${describeValue(declaration)}`,
        `keys here: ${Object.keys(channelFields).join(", ")}`,
      );
      return [];
    }
    // a channel without gates may be written as `dev:` with nothing behind it
    const fields = readFields(inspection, declaration ?? {}, path, channelFields);
    if (fields === undefined) return [];
    if (index === 0 && fields.minTime !== undefined)
      inspection.error(
        [...path, "minTime"],
        "there is no channel before this one",
        "remove it: the first channel takes candidates at once",
        "key",
      );
    return [channelOf(name, fields)];
  });
}

type ChannelFields = { readonly [Key in keyof typeof channelFields]?: z.output<(typeof channelFields)[Key]> };

function channelOf(name: string, fields: ChannelFields): Channel {
  const { approvals, sbom } = fields;
  return {
    name,
    ...(fields.description === undefined ? {} : { description: fields.description }),
    checks: requiredChecks(fields.checks),
    minTimeMs: fields.minTime === undefined ? 0 : parseDuration(fields.minTime),
    approvals:
      approvals === undefined
        ? { count: 0, by: [] }
        : typeof approvals === "number"
          ? { count: approvals, by: [] }
          : { count: approvals.count ?? 1, by: approvals.by },
    ...(fields.evidenceMaxAge === undefined ? {} : { evidenceMaxAgeMs: parseDuration(fields.evidenceMaxAge) }),
    sbom: {
      packages: sbom?.forbidPackages ?? [],
      licences: sbom?.forbidLicences ?? [],
      ...(sbom?.securityUpdates === undefined ? {} : { securityOlderThanMs: parseDuration(sbom.securityUpdates) }),
    },
    freeze: (fields.freeze ?? []).map(freezeOf),
  };
}

export const freezeOf = ({ cron, duration, zone, reason }: z.output<typeof windowSchema>): FreezeWindow => ({
  cron,
  durationMs: parseDuration(duration),
  zone,
  ...(reason === undefined ? {} : { reason }),
});

const PLATFORMS: readonly CheckPlatform[] = ["cell", "vm", "tree"];

function requiredChecks(checks: ChannelFields["checks"]): readonly RequiredChecks[] {
  if (checks === undefined) return [];
  if (checks === "all" || Array.isArray(checks)) return [{ platform: "any", names: checks }];
  const byPlatform = checks as Partial<Record<CheckPlatform, "all" | readonly string[]>>;
  return PLATFORMS.flatMap((platform) => {
    const names = byPlatform[platform];
    return names === undefined ? [] : [{ platform, names }];
  });
}
