import { z } from "zod";
import { artifactSchema } from "./artifacts-section.ts";
import { PARAMETER_NAME } from "../expression/substitute.ts";
import { DURATION, parseDuration } from "./duration.ts";

/**
 * The shape of `bakehouse.yaml`, piece by piece. The parser checks each piece for itself, so that a mistake in one does
 * not hide those in another; `json-schema.ts` puts the same pieces together for editors.
 */

export const NAME_RULE = "use lower-case letters, digits and hyphens, starting with a letter";

/** Names of recipes, layers, repositories and secrets: they become file names, annotations and unit names. */
export const nameSchema = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/, NAME_RULE);

/** Step names stand in addresses (`base/harden`) and in the lock. */
const stepNameSchema = z
  .string()
  .max(64)
  .regex(/^[a-z0-9][a-z0-9._-]*$/, "use lower-case letters, digits, hyphens, dots and underscores")
  .describe("Name of the step in plan, log and lock; its id if absent");

/** A path in the recipe's folder. */
const recipePathSchema = z
  .string()
  .min(1)
  .refine((path) => !path.startsWith("/"), "must be relative to the recipe's folder")
  .refine((path) => !path.split("/").includes(".."), "must not lead out of the recipe's folder");

// ---- parameters ----

export const parameterValueSchema = z.union([z.string(), z.number(), z.boolean()]);

export const parameterFields = {
  type: z.enum(["string", "number", "boolean"]).describe("What kind of value it takes"),
  default: parameterValueSchema.optional().describe("Its value unless --set gives another; without one, --set must"),
  description: z.string().optional().describe("What it is for"),
  enum: z.array(parameterValueSchema).min(1).optional().describe("The only values it may have"),
  pattern: z
    .string()
    .max(1000)
    .optional()
    .describe("A regular expression that the whole text must match, without references such as `\\1`"),
  min: z.number().optional().describe("Smallest number"),
  max: z.number().optional().describe("Largest number"),
};
export const parameterSchema = z.strictObject(parameterFields);
export const parameterNameSchema = z
  .string()
  .max(64)
  .regex(PARAMETER_NAME, "use letters, digits, hyphens and underscores, starting with a letter");

// ---- repositories ----

const urlSchema = z
  .string()
  .refine((url) => /^(https?:\/\/[^\s/]|file:[^\s])/.test(url), "must start with http://, https:// or file:")
  .refine((url) => !/^https?:\/\/[^/]*@/.test(url), "must not hold a user name or password");

export const repositoryFields = {
  url: urlSchema.describe("http://…, https://…, file:///absolute or file:relative/to/the/recipe"),
  suites: z.array(z.string().min(1)).min(1).describe("Suites to read, such as stable"),
  components: z.array(z.string().min(1)).default(["main"]).describe("Components of the suites, main if absent"),
  key: recipePathSchema.optional().describe("File with the key that signs it, in the recipe's folder"),
  trusted: z.literal(true).optional().describe("Take it without a signature: only for a repository of your own on disk"),
  priority: z.int().min(-1).max(1000).optional().describe("apt pin priority of everything in it, 500 if absent"),
};
export const repositorySchema = z.strictObject(repositoryFields);

/** Names that packages of the suite itself and local files carry in the lock. */
export const RESERVED_REPOSITORIES: readonly string[] = ["debian", "debian-security", "debian-updates", "local"];

// ---- secrets ----

const envNameSchema = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable, such as SHOP_LICENCE");

export const secretFields = {
  env: envNameSchema.optional().describe("Environment variable that holds it"),
  file: z.string().min(1).optional().describe("File that holds it, absolute or relative to the recipe; keep it out of version control"),
};
export const secretSchema = z.strictObject(secretFields).refine((secret) => (secret.env === undefined) !== (secret.file === undefined), {
  error: "needs either env or file",
  when: ({ issues }) => issues.length === 0,
});

// ---- layers ----

/** The highest TCP or UDP port. */
const MAX_PORT = 65_535;

const portSchema = z.union([
  z.int().min(1).max(MAX_PORT),
  z
    .string()
    .regex(/^[1-9]\d{0,4}(?:\/(?:tcp|udp))?$/, { error: "must be a port such as 80, or 53/udp", abort: true })
    .refine((port) => Number.parseInt(port, 10) <= MAX_PORT, `must be a port between 1 and ${MAX_PORT}`),
]);

const imageFields = {
  entry: z
    .string()
    .regex(/^[\w@.:\\-]+\.(?:service|socket|target|timer|path)$/, "must be a systemd unit, such as nginx.service")
    .optional()
    .describe("The systemd unit that is the app"),
  ports: z.array(portSchema).optional().describe("Ports the app listens on; TCP unless written as 53/udp"),
  users: z.array(z.string().min(1)).optional().describe("Users that the image makes"),
  labels: z.record(z.string().min(1), z.string()).optional().describe("Annotations of the image"),
};
export const imageSchema = z.strictObject(imageFields);

/** Where a release volume would hide what the system itself mounts or needs to start. */
const NO_VOLUME = /^\/(?:$|(?:proc|sys|dev|run|tmp|boot|etc|usr|bin|sbin|lib|lib64)(?:\/|$))/;
/** `/usr/local` and below is the administrator's (FHS 4.9): an app may live there. */
const LOCAL = /^\/usr\/local\/./;

const volumePathSchema = z
  .string()
  .regex(/^(?:\/[^/\s]+)+$/, "must be an absolute path without a slash at its end, such as /srv/app")
  .refine((path) => !/\/\.{1,2}(?:\/|$)/.test(path), "must not hold . or ..")
  .refine((path) => !NO_VOLUME.test(path) || LOCAL.test(path), "cannot be a volume: the system needs what is there");

export const releaseSchema = z.union(
  [
    z.literal("layer").describe("The release is a layer of the image"),
    z
      .strictObject({ volume: volumePathSchema.describe("Where the volume is mounted") })
      .describe("The release is a read-only volume beside the image"),
  ],
  {
    error: ({ input }) => (typeof input === "string" ? "must be layer, or { volume: /path } with the path where it is mounted" : undefined),
  },
);

const fromSchema = z.union([
  z.string().min(1).describe("A layer of this recipe, image:<name or digest>, name@channel, or sha256:…"),
  z.strictObject({ image: z.string().min(1).describe("Name or digest of an image in the store") }),
]);

export const layerFields = {
  description: z.string().optional().describe("What the layer is for"),
  from: fromSchema.optional().describe("The parent: a layer of this recipe or an image; absent for a foundation"),
  steps: z.array(z.unknown()).optional().describe("What is done, in order"),
  image: imageSchema.optional().describe("What the image says about itself"),
  checks: z
    .array(z.unknown())
    .optional()
    .describe("What an image of this layer, and of every layer above, must pass; changes nothing in the image"),
  artifacts: z
    .array(artifactSchema)
    .optional()
    .describe("Files that `bakehouse artifacts` makes of the image, such as disks; changes nothing in the image"),
  release: releaseSchema.optional().describe("layer (default): part of the image. { volume: /path }: a read-only volume beside it"),
};

// ---- steps ----

/** A day: what takes longer is stuck (a guess). */
const MAX_TIMEOUT_MS = 24 * 3_600_000;
export const DEFAULT_TIMEOUT_MS = 30 * 60_000;

const TIME_RULE = "must be a time such as 90s, 10m or 1h30m";

const timeoutSchema = z
  .string(TIME_RULE)
  .regex(DURATION, { error: TIME_RULE, abort: true })
  .refine((text) => parseDuration(text) > 0 && parseDuration(text) <= MAX_TIMEOUT_MS, "must be more than nothing and at most 24h");

const networkSchema = z.union([z.enum(["none", "recorded"]), z.boolean()]);

/** What every step may say beside its own options. */
export const stepSettingFields = {
  name: stepNameSchema.optional(),
  timeout: timeoutSchema.optional().describe("How long it may take: 90s, 10m, 1h30m; 30m if absent"),
  network: networkSchema
    .optional()
    .describe("none (default); recorded: what the lock recorded; true: anything, and the image is not hermetic"),
  secrets: z.array(z.string()).optional().describe("Secrets of the recipe that it may read, as files in /run/secrets"),
};
export const STEP_SETTINGS: readonly string[] = Object.keys(stepSettingFields);

// ---- checks ----

/** A guess: who tries longer waits for something that does not come. */
const MAX_RETRIES = 1000;
/** An hour: a check that takes longer is a test suite, which belongs before the bake (a guess). */
const MAX_CHECK_MS = 3_600_000;

const checkTime = (smallestMs: number, rule: string) =>
  z
    .string(TIME_RULE)
    .regex(DURATION, { error: TIME_RULE, abort: true })
    .refine((text) => parseDuration(text) >= smallestMs && parseDuration(text) <= MAX_CHECK_MS, rule);

const checkNameSchema = z
  .string()
  .max(64)
  .regex(/^[a-z0-9][a-z0-9._-]*$/, "use lower-case letters, digits, hyphens, dots and underscores");

/** What every check may say beside its own options. */
export const checkSettingFields = {
  name: checkNameSchema.optional().describe("Name of the check in results, evidence and gates; its type if absent"),
  replaces: checkNameSchema.optional().describe("Name of an inherited check of the same type, in whose place this one stands"),
  retries: z.int().min(0).max(MAX_RETRIES).optional().describe("Further attempts after one that did not pass"),
  interval: checkTime(0, "must be at most 1h").optional().describe("Time between two attempts: 200ms, 5s"),
  timeout: checkTime(1, "must be more than nothing and at most 1h")
    .optional()
    .describe("How long one attempt may take; what takes longer is an error, not a failure"),
};
export const CHECK_SETTINGS: readonly string[] = Object.keys(checkSettingFields);

// ---- the recipe ----

export const recipeFields = {
  name: nameSchema.describe("Name of the recipe, and of the images it gives"),
  description: z.string().optional().describe("What the machine is for"),
  cake: z
    .enum(["baked", "software", "boot"])
    .default("baked")
    .describe("baked: everything is in the image. software: the app's code comes at launch. boot: everything happens at boot"),
  foundation: z
    .strictObject({ builder: z.enum(["own", "mmdebstrap"]).default("own").describe("Who installs the foundation") })
    .default({ builder: "own" })
    .describe("How foundations are installed"),
  parameters: z.record(z.string(), z.unknown()).default({}).describe("Values that steps use as {{name}} and that --set changes"),
  repositories: z.record(z.string(), z.unknown()).default({}).describe("Apt repositories besides the suite's own"),
  secrets: z.record(z.string(), z.unknown()).default({}).describe("Secrets by name, and where their values come from"),
  cycle: z.unknown().optional().describe("When it is baked again by itself, and why"),
  retention: z.unknown().optional().describe("What gc keeps of its images"),
  notify: z.record(z.string(), z.unknown()).default({}).describe("Where what happens is told, by name"),
  layers: z.record(z.string(), z.unknown()).describe("The layers by name, in any order"),
  channels: z
    .record(z.string(), z.unknown())
    .default({})
    .describe("The channels in the order that images go through, and what each asks for"),
  fleets: z.record(z.string(), z.unknown()).default({}).describe("The fleets by name: which image runs how often, and where"),
};
