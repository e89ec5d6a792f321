import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { Revocation } from "../core/promotion/facts.ts";
import { revocationsOf } from "../core/promotion/gates-for.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { nameOf } from "./find-image.ts";
import { wholeLineage } from "./promotion-facts.ts";

/** The revocations that reach an image, by itself or by what it stands on. */
export function revocationsOfImage(store: Store, digest: ImageDigest, now: Date): readonly Revocation[] {
  const { revocations } = store.marks();
  if (revocations.length === 0) return [];
  const entry = store.images.entries().find((each) => each.digest === digest);
  const lineage = entry === undefined ? [{ digest, name: "", here: false }] : wholeLineage(store, entry);
  return revocationsOf(lineage, revocations, now.getTime());
}

/**
 * Whatever starts an image, or brings it to machines, asks here first.
 *
 * @throws IMAGE_REVOKED with the reason, and what replaces it
 */
export function requireNotRevoked({ store, clock }: { readonly store: Store; readonly clock: Clock }, digest: ImageDigest): void {
  const [revoked] = revocationsOfImage(store, digest, clock.now());
  if (revoked === undefined) return;
  const instead = replacementFor(store, digest, clock.now());
  const which = revoked.digest === digest ? "" : ` ${revoked.name || "an image"} (${shortDigest(revoked.digest)}), which it stands on,`;
  throw new BakehouseError(
    "IMAGE_REVOKED",
    `${shortDigest(digest)} is revoked:${which === "" ? "" : `${which} was revoked:`} ${revoked.reason}`,
    {
      hint:
        instead === undefined
          ? `nothing replaces it yet: bake again, or bakehouse restore ${shortDigest(revoked.digest)}`
          : `use ${instead.older ? "the one before it, " : ""}${instead.name} (${shortDigest(instead.digest)})`,
      details: { image: digest, revoked: revoked.digest, reason: revoked.reason, replacement: instead?.digest ?? null },
    },
  );
}

export interface Replacement {
  readonly digest: ImageDigest;
  readonly name: string;
  /** Baked before the one that was revoked: it may have the same fault. */
  readonly older: boolean;
}

/** The newest image of the same name that is not revoked. */
export function replacementFor(store: Store, digest: ImageDigest, now: Date): Replacement | undefined {
  const entries = store.images.entries();
  const revoked = entries.find((entry) => entry.digest === digest);
  const name = revoked === undefined ? "" : nameOf(revoked);
  if (revoked === undefined || name === "") return undefined;
  return entries
    .filter((entry) => entry.digest !== digest && nameOf(entry) === name)
    .toSorted((a, b) => (bakedAt(a) < bakedAt(b) ? 1 : -1))
    .map((entry) => ({ digest: entry.digest, name, older: bakedAt(entry) < bakedAt(revoked) }))
    .find((other) => revocationsOfImage(store, other.digest, now).length === 0);
}

const bakedAt = ({ annotations }: { readonly annotations: Readonly<Record<string, string>> }): string =>
  annotations[ANNOTATIONS.bakedAt] ?? "";
