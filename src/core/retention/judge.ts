import type { ImageDigest } from "../digest.ts";
import { shortDigest } from "../digest.ts";
import type { Retention, RetentionRules } from "./model.ts";

/** An image of the store, as far as it matters for whether it stays. */
export interface KeepableImage {
  readonly digest: ImageDigest;
  /** `<recipe>/<layer>`; what it is called or was called when it was baked. */
  readonly name: string;
  readonly recipe: string;
  readonly layer: string;
  /** Milliseconds since 1970. */
  readonly bakedAtMs: number;
  /** The name points to it now. */
  readonly isNamed: boolean;
  /** When it was brought back after gc had set it aside. */
  readonly restoredAtMs?: number;
  /** The images that it was baked onto, or belongs to. */
  readonly parents: readonly ImageDigest[];
}

export interface RetentionFacts {
  readonly images: readonly KeepableImage[];
  /** The rules of a recipe; `unreadable`: it is there and cannot be read, so nothing of it goes. */
  rules(recipe: string): Retention | "unreadable" | undefined;
  /** What a recipe without rules keeps of each name. */
  readonly keep: number;
  readonly graceMs: number;
  /** What channels and running cells need, and why. */
  readonly pins: ReadonlyMap<ImageDigest, string>;
  readonly nowMs: number;
}

export type Judgement =
  | { readonly verdict: "stays"; readonly why: string }
  /** `untilMs`: it is set aside until then; absent: it goes at once. */
  | { readonly verdict: "goes"; readonly why: string; readonly untilMs?: number };

/** What somebody brought back is not taken away again for at least this long: a week, so that it can be promoted or exported. */
const RESTORED_MS = 7 * 86_400_000;

/**
 * Decides for every image whether it stays, with the first reason that holds. What an image that stays stands on stays with it;
 * what an image that is set aside stands on is set aside at least as long.
 */
export function judgeRetention(facts: RetentionFacts): ReadonlyMap<ImageDigest, Judgement> {
  const reasons = new Map<ImageDigest, string>();
  const because = (digest: ImageDigest, why: string): void => void (reasons.has(digest) || reasons.set(digest, why));
  for (const [digest, why] of facts.pins) because(digest, why);
  for (const { digest, isNamed } of facts.images) if (isNamed) because(digest, "has a name");
  for (const [name, group] of byName(facts.images)) keepByRules(facts, name, group, because);
  for (const image of facts.images) {
    if (facts.rules(image.recipe) === "unreadable")
      because(image.digest, `the recipe ${image.recipe} cannot be read, so nothing of it goes`);
    if (image.restoredAtMs !== undefined && facts.nowMs - image.restoredAtMs < Math.max(graceOf(facts, image), RESTORED_MS))
      because(image.digest, `was brought back on ${day(image.restoredAtMs)}`);
  }
  const known = new Map(facts.images.map((image) => [image.digest, image]));
  for (const child of reachFrom([...reasons.keys()], known))
    for (const parent of child.parents) because(parent, `${child.name} (${shortDigest(child.digest)}) stands on it`);
  const until = setAside(facts, reasons, known);
  return new Map(
    facts.images.map((image): [ImageDigest, Judgement] => {
      const why = reasons.get(image.digest);
      if (why !== undefined) return [image.digest, { verdict: "stays", why }];
      const untilMs = until.get(image.digest);
      return [image.digest, { verdict: "goes", why: whyGone(facts, image), ...(untilMs === undefined ? {} : { untilMs }) }];
    }),
  );
}

function keepByRules(
  facts: RetentionFacts,
  name: string,
  group: readonly KeepableImage[],
  because: (digest: ImageDigest, why: string) => void,
): void {
  for (const [index, image] of group.entries()) {
    const { keep, youngerThanMs } = rulesFor(facts, image);
    if (index < keep) because(image.digest, `among the newest ${keep} of ${name}`);
    // an image from the future was baked by a clock that was wrong
    if (youngerThanMs !== undefined && facts.nowMs - image.bakedAtMs < youngerThanMs)
      because(image.digest, `younger than ${span(youngerThanMs)}`);
  }
}

function rulesFor(facts: RetentionFacts, { recipe, layer }: KeepableImage): RetentionRules & { readonly keep: number } {
  const rules = facts.rules(recipe);
  if (rules === undefined || rules === "unreadable") return { keep: facts.keep };
  const own = rules.layers[layer];
  const youngerThanMs = own?.youngerThanMs ?? rules.youngerThanMs;
  return { keep: own?.keep ?? rules.keep ?? facts.keep, ...(youngerThanMs === undefined ? {} : { youngerThanMs }) };
}

const graceOf = (facts: RetentionFacts, { recipe }: KeepableImage): number => {
  const rules = facts.rules(recipe);
  return typeof rules === "object" ? rules.graceMs : facts.graceMs;
};

/** Newest first; the one that the name points to before all others. */
function byName(images: readonly KeepableImage[]): ReadonlyMap<string, readonly KeepableImage[]> {
  const groups = new Map<string, KeepableImage[]>();
  for (const image of images) groups.set(image.name, [...(groups.get(image.name) ?? []), image]);
  for (const group of groups.values()) group.sort((a, b) => Number(b.isNamed) - Number(a.isNamed) || b.bakedAtMs - a.bakedAtMs);
  return groups;
}

/** The images themselves and all below them that are known here, children before parents. */
function* reachFrom(start: readonly ImageDigest[], known: ReadonlyMap<ImageDigest, KeepableImage>): Generator<KeepableImage> {
  const seen = new Set<ImageDigest>();
  const queue = [...start];
  for (let digest = queue.shift(); digest !== undefined; digest = queue.shift()) {
    const image = known.get(digest);
    if (image === undefined || seen.has(digest)) continue;
    seen.add(digest);
    yield image;
    queue.push(...image.parents);
  }
}

/** Until when each image that goes can be brought back. */
function setAside(
  facts: RetentionFacts,
  staying: ReadonlyMap<ImageDigest, string>,
  known: ReadonlyMap<ImageDigest, KeepableImage>,
): ReadonlyMap<ImageDigest, number> {
  const until = new Map<ImageDigest, number>();
  for (const image of facts.images) {
    const graceMs = graceOf(facts, image);
    if (staying.has(image.digest) || graceMs === 0) continue;
    for (const { digest } of reachFrom([image.digest], known))
      if (!staying.has(digest)) until.set(digest, Math.max(until.get(digest) ?? 0, facts.nowMs + graceMs));
  }
  return until;
}

function whyGone(facts: RetentionFacts, image: KeepableImage): string {
  const { keep, youngerThanMs } = rulesFor(facts, image);
  const old = youngerThanMs === undefined ? "" : ` and it is older than ${span(youngerThanMs)}`;
  return `${image.name || "its name"} has moved on, and there are ${keep} newer${old}`;
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const span = (ms: number): string => (ms % 86_400_000 === 0 ? `${ms / 86_400_000} days` : `${Math.round(ms / 3_600_000)} h`);
