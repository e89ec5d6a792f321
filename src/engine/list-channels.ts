import type { ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import type { Gate } from "../core/promotion/gate.ts";
import { gatesFor, unmetGates } from "../core/promotion/gates-for.ts";
import { suggestion } from "../core/text/did-you-mean.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { nameOf } from "./find-image.ts";
import { promotionFacts } from "./promotion-facts.ts";
import { revocationsOfImage } from "./require-not-revoked.ts";

export interface ListedChannel {
  readonly recipe: string;
  /** `<recipe>/<layer>`; absent while nothing of the recipe is in the channel. */
  readonly name?: string;
  readonly channel: string;
  readonly description?: string;
  readonly image?: ImageDigest;
  readonly since?: string;
  readonly who?: string;
  readonly emergency?: boolean;
  /** Why what it points to is revoked. */
  readonly revoked?: string;
  /** The recipe declares it no longer. */
  readonly undeclared?: boolean;
  /** What could come next, and what it waits for. */
  readonly next?: { readonly image: ImageDigest; readonly name: string; readonly unmet: readonly Gate[] };
}

/**
 * Every channel of the recipes, in their order: what it points to, and the candidate that waits before it.
 *
 * @param recipe  only of this one
 * @throws CHANNEL_NOT_FOUND when no image of the store is of it
 */
export async function listChannels(parts: ChannelParts, recipe?: string): Promise<readonly ListedChannel[]> {
  const { ledger } = await parts.catalog();
  const pointers = await ledger.channels();
  const entries = parts.store.images.entries();
  const recipes = new Set([...entries.map(recipeOf), ...pointers.map(({ name }) => name.split("/")[0] ?? "")]);
  if (recipe !== undefined && !recipes.has(recipe)) throw unknownRecipe(recipe, [...recipes].toSorted());
  const listed: ListedChannel[] = [];
  for (const each of [...recipes].toSorted()) {
    if (recipe !== undefined && each !== recipe) continue;
    const declared = await ledger.policy(each);
    const channels = declared?.policy.channels ?? [];
    const own = pointers.filter(({ name }) => name.split("/")[0] === each);
    const names = new Set([...own.map(({ name }) => name), ...topsOf(entries, each)]);
    for (const name of [...names].toSorted()) {
      const pointersOfName = own.filter((pointer) => pointer.name === name);
      for (const [index, channel] of channels.entries()) {
        const pointer = pointersOfName.find((one) => one.channel === channel.name);
        const next = await candidateFor(parts, name, channels[index - 1]?.name, pointer?.digest);
        const facts =
          next === undefined || declared === undefined ? undefined : await promotionFacts(parts, next, declared.policy, channel);
        listed.push({
          recipe: each,
          name,
          channel: channel.name,
          ...(channel.description === undefined ? {} : { description: channel.description }),
          ...pointed(parts, pointer),
          ...(next === undefined || facts === undefined
            ? {}
            : { next: { image: next.digest, name, unmet: unmetGates(gatesFor(channel, facts, parts.clock.now())) } }),
        });
      }
      for (const pointer of pointersOfName)
        if (!channels.some((channel) => channel.name === pointer.channel))
          listed.push({ recipe: each, name, channel: pointer.channel, undeclared: true, ...pointed(parts, pointer) });
    }
  }
  return listed;
}

function pointed(
  parts: ChannelParts,
  pointer: { readonly digest: ImageDigest; readonly since: string; readonly who: string; readonly emergency: boolean } | undefined,
): Partial<ListedChannel> {
  if (pointer === undefined) return {};
  const { digest, since, who, emergency } = pointer;
  const [revoked] = revocationsOfImage(parts.store, digest, parts.clock.now());
  return { image: digest, since, who, emergency, ...(revoked === undefined ? {} : { revoked: revoked.reason }) };
}

/** For the first channel the image that has the name; for the others what is in the channel before. Nothing when it is there already. */
async function candidateFor(
  parts: ChannelParts,
  name: string,
  before: string | undefined,
  current: ImageDigest | undefined,
): Promise<IndexEntry | undefined> {
  const entries = parts.store.images.entries();
  const pointers = await (await parts.catalog()).ledger.channels();
  const digest =
    before === undefined
      ? entries.find(({ annotations }) => annotations[ANNOTATIONS.name] === name)?.digest
      : pointers.find((pointer) => pointer.name === name && pointer.channel === before)?.digest;
  return digest === undefined || digest === current ? undefined : entries.find((entry) => entry.digest === digest);
}

const recipeOf = ({ annotations }: IndexEntry): string => annotations[ANNOTATIONS.recipe] ?? "";

/** What nothing else of the recipe stands on: its results. */
function topsOf(entries: readonly IndexEntry[], recipe: string): readonly string[] {
  const current = entries.filter((entry) => recipeOf(entry) === recipe && entry.annotations[ANNOTATIONS.name] !== undefined);
  const parents = new Set(
    current.map(({ digest, annotations }) => (annotations[ANNOTATIONS.baseDigest] === digest ? "" : annotations[ANNOTATIONS.baseDigest])),
  );
  return current.filter(({ digest }) => !parents.has(digest)).map(nameOf);
}

/** Often it is the recipe's folder that was written, `examples/shop` for `shop`. */
function unknownRecipe(recipe: string, names: readonly string[]): BakehouseError {
  const own = recipe.replace(/\/+$/, "").split("/").at(-1) ?? recipe;
  const hint = names.includes(own) ? `bakehouse channels ${own}` : (suggestion(own, names, "recipes") ?? "bake one first: bakehouse bake");
  return new BakehouseError("CHANNEL_NOT_FOUND", `No image of this store is of a recipe called ${JSON.stringify(recipe)}`, { hint });
}
