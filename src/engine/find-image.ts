import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import type { ChannelPointer } from "../core/channel/model.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { Store } from "../ports/store.ts";

/** The name that an image has now, or had when it was baked. */
export const nameOf = (entry: IndexEntry): string => entry.annotations[ANNOTATIONS.name] ?? entry.annotations[ANNOTATIONS.bakedName] ?? "";

/**
 * Finds an image by digest (`sha256:…`), by a unique prefix of its hex digits (4 or more), by name (`shop/release`), or by
 * the name of its recipe (`shop`: the image that nothing else of it stands on, else the volume), or by a channel (`shop@prod`,
 * `shop/release@prod`). Volumes have names as images do.
 *
 * @throws IMAGE_NOT_FOUND with the nearest name, REFERENCE_AMBIGUOUS with what matches, CHANNEL_NOT_FOUND
 */
export function findImage(store: Store, reference: string): IndexEntry {
  if (reference.includes("@")) return imageOfChannel(store, reference);
  const entries = store.images.entries();
  const named = entries.find((entry) => entry.annotations[ANNOTATIONS.name] === reference);
  if (named !== undefined) return named;
  const tops = entries.filter(
    (entry) => entry.annotations[ANNOTATIONS.recipe] === reference && entry.annotations[ANNOTATIONS.name] !== undefined,
  );
  if (tops.length > 0) return topOf(tops, reference);
  const hex = reference.replace(/^sha256:/, "");
  const matches = /^[0-9a-f]{4,64}$/.test(hex) ? entries.filter((entry) => entry.digest.slice(7).startsWith(hex)) : [];
  if (matches.length === 1 && matches[0] !== undefined) return matches[0];
  if (matches.length > 1) throw ambiguous(reference, matches);
  const near = didYouMean(reference, [...new Set(entries.map(nameOf))]);
  throw new BakehouseError("IMAGE_NOT_FOUND", `No image is called ${JSON.stringify(reference)} or has a digest that begins so`, {
    hint: near === undefined ? "bakehouse images" : `did you mean ${near}? \`bakehouse images\` shows all`,
  });
}

function imageOfChannel(store: Store, reference: string): IndexEntry {
  const { digest, name, channel } = findPointer(store.marks().channels, reference);
  const entry = store.images.entries().find((each) => each.digest === digest);
  if (entry !== undefined) return entry;
  throw new BakehouseError("IMAGE_NOT_FOUND", `${name}@${channel} points to ${shortDigest(digest)}, which is not in this store`, {
    hint: `bakehouse rollback ${name}@${channel}`,
  });
}

/**
 * The channel that `name@channel` means; a recipe's name stands for the one of its images that is in a channel of that name.
 *
 * @param reference  a channel alone (`prod`) will do when there is only one of that name
 * @throws CHANNEL_NOT_FOUND, REFERENCE_AMBIGUOUS
 */
export function findPointer<Pointer extends ChannelPointer>(pointers: readonly Pointer[], reference: string): Pointer {
  const at = reference.lastIndexOf("@");
  const [name, channel] = at < 0 ? [undefined, reference] : [reference.slice(0, at), reference.slice(at + 1)];
  const found = pointers.filter(
    (pointer) => pointer.channel === channel && (name === undefined || pointer.name === name || pointer.name.split("/")[0] === name),
  );
  const [only, second] = found;
  const shown = (pointer: ChannelPointer): string => `${pointer.name}@${pointer.channel}`;
  if (only !== undefined && second === undefined) return only;
  if (only !== undefined)
    throw new BakehouseError("REFERENCE_AMBIGUOUS", `${JSON.stringify(reference)} stands for ${found.map(shown).join(", ")}`, {
      hint: "use the whole name",
      details: found.map(shown),
    });
  const known = pointers.flatMap((pointer) =>
    at < 0 ? [pointer.channel] : [shown(pointer), `${pointer.name.split("/")[0] ?? ""}@${pointer.channel}`],
  );
  const near = didYouMean(reference, known);
  throw new BakehouseError("CHANNEL_NOT_FOUND", `No channel ${JSON.stringify(reference)} points to an image`, {
    hint: near === undefined ? "bakehouse channels" : `did you mean ${near}? \`bakehouse channels\` shows all`,
  });
}

/** A release that is a volume counts when nothing that is an image stands at the top. */
function topOf(entries: readonly IndexEntry[], reference: string): IndexEntry {
  const parents = new Set(
    entries
      .filter((entry) => entry.digest !== entry.annotations[ANNOTATIONS.baseDigest])
      .map((entry) => entry.annotations[ANNOTATIONS.baseDigest]),
  );
  const tops = entries.filter((entry) => !parents.has(entry.digest));
  const images = tops.filter((entry) => entry.artifactType === undefined);
  const choice = images.length > 0 ? images : tops.length > 0 ? tops : entries;
  if (choice.length === 1 && choice[0] !== undefined) return choice[0];
  throw ambiguous(reference, choice);
}

const ambiguous = (reference: string, entries: readonly IndexEntry[]): BakehouseError =>
  new BakehouseError(
    "REFERENCE_AMBIGUOUS",
    `${JSON.stringify(reference)} stands for ${entries.length} images: ${entries.map((entry) => `${nameOf(entry)} (${shortDigest(entry.digest)})`).join(", ")}`,
    {
      hint: "use more digits, or the whole name",
      details: entries.map((entry) => entry.digest),
    },
  );
