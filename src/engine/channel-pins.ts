import type { ImageDigest } from "../core/digest.ts";
import { earlierImages } from "../core/promotion/stays.ts";
import type { Catalog } from "../ports/catalog.ts";

/** The image of now and two to go back to, unless the recipe says otherwise. A guess. */
const KEPT_IN_A_CHANNEL = 3;

/** How many of the images that a channel pointed to are kept, the one of now included; undefined: as usual. */
export type KeptInChannel = (name: string, channel: string) => number | undefined;

/** Images that channels need, and why: gc leaves them. */
export async function channelPins(
  catalog: Pick<Catalog, "ledger">,
  keptIn: KeptInChannel = () => undefined,
): Promise<ReadonlyMap<ImageDigest, string>> {
  const { ledger } = catalog;
  const pins = new Map<ImageDigest, string>();
  const pointers = await ledger.channels();
  for (const { name, channel, digest } of pointers) pins.set(digest, `${name}@${channel} points to it`);
  for (const { name, channel } of pointers) {
    const earlier = earlierImages(await ledger.moves(name, channel)).slice(0, (keptIn(name, channel) ?? KEPT_IN_A_CHANNEL) - 1);
    for (const digest of earlier) if (!pins.has(digest)) pins.set(digest, `${name}@${channel} can be rolled back to it`);
  }
  return pins;
}
