import { openLocalStore } from "../adapters/local-store/local-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";

/**
 * Which of the images that were just baked, or found to be baked, are revoked: they are the same bytes, and as little to be used.
 *
 * @returns a sentence for each; nearly always none, which costs the reading of one file
 */
export async function revokedAmong(
  storeFolder: string,
  images: readonly { readonly name: string; readonly digest: ImageDigest }[],
): Promise<readonly string[]> {
  const store = openLocalStore(storeFolder);
  if (images.length === 0 || store.marks().revocations.length === 0) return [];
  const { revocationsOfImage } = await import("../engine/require-not-revoked.ts");
  return images.flatMap(({ name, digest }) => {
    const [revoked] = revocationsOfImage(store, digest, new Date());
    if (revoked === undefined) return [];
    const by = revoked.digest === digest ? "" : ` with ${revoked.name || shortDigest(revoked.digest)}, which it stands on`;
    return [`${name} (${shortDigest(digest)}) is revoked${by}: ${revoked.reason}`];
  });
}
