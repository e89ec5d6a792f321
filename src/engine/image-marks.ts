import type { ImageDigest } from "../core/digest.ts";
import type { Clock } from "../ports/host.ts";
import type { Store } from "../ports/store.ts";
import { revocationsOfImage } from "./require-not-revoked.ts";

/** What stands beside an image wherever it is shown. */
export interface ImageMarks {
  /** Channels that point to it: `qa`. */
  readonly channels?: readonly string[];
  /** Why it is revoked, by itself or with what it stands on. */
  readonly revoked?: string;
}

/** Looks the channels up once, and then the marks of any image. */
export function imageMarks(store: Store, clock: Pick<Clock, "now">): (digest: ImageDigest) => ImageMarks {
  const { channels, revocations } = store.marks();
  if (channels.length === 0 && revocations.length === 0) return () => ({});
  const now = clock.now();
  return (digest) => {
    const own = channels.filter((pointer) => pointer.digest === digest).map(({ channel }) => channel);
    const [revoked] = revocations.length === 0 ? [] : revocationsOfImage(store, digest, now);
    return { ...(own.length === 0 ? {} : { channels: own }), ...(revoked === undefined ? {} : { revoked: revoked.reason }) };
  };
}
