import type { DiffId, ImageDigest, Sha256 } from "../digest.ts";

/** What instances are brought to: an image, and how much of it is a volume that can be exchanged while the machine runs. */
export interface FleetRelease {
  readonly image: ImageDigest;
  /** `shop/release`. */
  readonly name: string;
  /** Of the root image, the lowest first. */
  readonly diffs: readonly DiffId[];
  /** An erofs of the store, and where it is mounted. */
  readonly volume?: { readonly blob: Sha256; readonly path: string };
  /** systemd unit that is started again when the volume under it was exchanged. */
  readonly entry?: string;
}

/** Whether a running machine of one needs no more than another volume to be one of the other. */
export const differOnlyInVolume = (one: FleetRelease, other: FleetRelease): boolean =>
  one.volume !== undefined &&
  other.volume !== undefined &&
  one.volume.path === other.volume.path &&
  one.diffs.length === other.diffs.length &&
  one.diffs.every((diff, index) => diff === other.diffs[index]);
