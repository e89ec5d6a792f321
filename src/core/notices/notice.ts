import { z } from "zod";

/**
 * What happens to recipes, images and channels, as others are told of it: kept in the catalog and sent to where `notify:`
 * says. The stream of one bake, with its steps and output, is `core/events.ts`; its end becomes one notice here.
 *
 * A notice is a CloudEvent 1.0 (structured mode). `version` counts for each type: it is raised when a field goes or changes its
 * meaning; fields that are added do not raise it.
 */
export interface Notice<Type extends NoticeType = NoticeType> {
  readonly specversion: "1.0";
  /** Unique, sortable by time. */
  readonly id: string;
  /** `/bakehouse/<host>` */
  readonly source: string;
  readonly type: Type;
  readonly version: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  /** The recipe, or the image by name or digest, that it is about. */
  readonly subject: string;
  readonly datacontenttype: "application/json";
  readonly data: NoticeData<Type>;
}

const digest = z.string().describe("Digest of an image: sha256:…");
const recipe = z.string().describe("Name of the recipe");
const run = z.string().describe("Id of the run: bakehouse cycle history <id>");
const fleet = z.string().describe("<recipe>/<fleet>");
const rollout = z.string().describe("Id of the rollout: bakehouse rollout watch <id>");
const by = z.string().describe("Who: user@host");
const image = z.strictObject({ name: z.string().describe("<recipe>/<layer>"), digest });
const failure = {
  code: z.string().describe("Error code, as in docs/reference/errors.md"),
  message: z.string().describe("What went wrong, for people"),
};

interface NoticeDefinition {
  readonly version: number;
  readonly summary: string;
  readonly data: z.ZodObject;
}

/** Every type of notice, with what its `data` holds. `docs/reference/events.md` is made of this table. */
export const NOTICES = {
  "bake.completed": {
    version: 1,
    summary: "A bake made something new",
    data: z.strictObject({
      recipe,
      bake: z.string().describe("Id of the bake: bakehouse bakes <id>"),
      images: z.array(image).describe("What it gave, from the lowest layer up"),
      baked: z.int().describe("Steps that were baked"),
      hits: z.int().describe("Steps that were in the cache"),
      durationMs: z.number().describe("Milliseconds"),
    }),
  },
  "bake.failed": {
    version: 1,
    summary: "A bake ended with an error",
    data: z.strictObject({ recipe, ...failure }),
  },
  "check.finished": {
    version: 1,
    summary: "The checks of an image have run",
    data: z.strictObject({
      image,
      verdict: z.enum(["passed", "failed", "error", "inconclusive"]).describe("The worst of all checks"),
      platform: z.string().describe("cell, vm or tree"),
      notPassed: z.array(z.string()).describe("Names of the checks that did not pass"),
    }),
  },
  "channel.moved": {
    version: 1,
    summary: "A channel points at another image",
    data: z.strictObject({
      recipe,
      channel: z.string().describe("Name of the channel"),
      how: z.string().describe("promoted, demoted, rolled-back or emergency"),
      image: digest.nullable().describe("Where it points now; null when it is empty"),
      before: digest.nullable().describe("Where it pointed; null when it was empty"),
      by,
      reason: z.string().optional().describe("Why, if somebody said so"),
    }),
  },
  "image.revoked": {
    version: 1,
    summary: "An image must not be used any more",
    data: z.strictObject({ image: digest, reason: z.string().describe("Why"), by }),
  },
  "image.restored": {
    version: 1,
    summary: "A revoked image may be used again",
    data: z.strictObject({ image: digest, reason: z.string().describe("Why"), by }),
  },
  "rollout.started": {
    version: 1,
    summary: "A fleet began to be brought to an image",
    data: z.strictObject({ fleet, rollout, image: digest, by }),
  },
  "rollout.waiting": {
    version: 1,
    summary: "A rollout waits for people to approve its plan, or a wave",
    data: z.strictObject({ fleet, rollout, image: digest, waitingFor: z.string().describe("What is to be approved") }),
  },
  "rollout.stopped": {
    version: 1,
    summary: "A rollout stopped: it begins nothing more by itself, or goes back",
    data: z.strictObject({
      fleet,
      rollout,
      image: digest,
      status: z.string().describe("held, halted or rolling-back"),
      reason: z.string().describe("Why"),
    }),
  },
  "rollout.ended": {
    version: 1,
    summary: "A rollout has ended: the fleet runs the image, or went back, or was left as it was",
    data: z.strictObject({
      fleet,
      rollout,
      image: digest.describe("The image that the fleet was to be brought to"),
      status: z.string().describe("completed, rolled-back, rollback-failed or abandoned"),
      reason: z.string().describe("Why, if not completed"),
    }),
  },
  "line.stopped": {
    version: 1,
    summary: "Somebody stopped the line of a fleet: no rollout begins anything new there",
    data: z.strictObject({ fleet, reason: z.string().describe("Why"), by }),
  },
  "cycle.started": {
    version: 1,
    summary: "A run of a cycle began",
    data: z.strictObject({ recipe, run, causes: z.array(z.string()).describe("Why it began"), by }),
  },
  "cycle.candidate": {
    version: 1,
    summary: "A run gave a candidate",
    data: z.strictObject({
      recipe,
      run,
      image: digest.describe("The candidate"),
      channel: z.string().nullable().describe("The channel that it was promoted to; null when gates are not met yet, or there is none"),
      unmet: z.array(z.string()).describe("Gates that are not met"),
      changes: z.array(z.string()).describe("What changed in the lock, a line each"),
    }),
  },
  "cycle.unchanged": {
    version: 1,
    summary: "A run gave no candidate, because nothing changed",
    data: z.strictObject({ recipe, run, image: digest.describe("The image that stands") }),
  },
  "cycle.failed": {
    version: 1,
    summary: "A run gave no candidate, because something failed",
    data: z.strictObject({ recipe, run, stage: z.string().describe("Where it failed: lock, bake, check, papers, promote"), ...failure }),
  },
  "gc.completed": {
    version: 1,
    summary: "Something was removed from the store, or set aside",
    data: z.strictObject({
      removed: z.array(digest).describe("Images that are gone"),
      setAside: z.array(digest).describe("Images that can still be brought back: bakehouse gc --restore <image>"),
      freedBytes: z.number().describe("Bytes on disk that were freed"),
    }),
  },
} as const satisfies Readonly<Record<string, NoticeDefinition>>;

export type NoticeType = keyof typeof NOTICES;
export type NoticeData<Type extends NoticeType> = z.output<(typeof NOTICES)[Type]["data"]>;

export const NOTICE_TYPES = Object.keys(NOTICES) as readonly NoticeType[];

/** What happened, before it has an id and a time. */
export type Happening = {
  [Type in NoticeType]: { readonly type: Type; readonly subject: string; readonly data: NoticeData<Type> };
}[NoticeType];

/** @throws Error when the data is not what the type says: a mistake in the program */
export function noticeOf(happening: Happening, about: { readonly id: string; readonly time: Date; readonly source: string }): Notice {
  const { version, data } = NOTICES[happening.type];
  data.parse(happening.data);
  return {
    specversion: "1.0",
    id: about.id,
    source: about.source,
    type: happening.type,
    version,
    time: about.time.toISOString(),
    subject: happening.subject,
    datacontenttype: "application/json",
    data: happening.data,
  };
}
