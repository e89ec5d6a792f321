import type { ImageDigest } from "../core/digest.ts";
import type { TreeSource } from "./image-trees.ts";

/** A mount that a user asked for. It stays until it is unmounted, whoever ends. */
export interface ImageMount {
  readonly id: string;
  readonly image: ImageDigest;
  /** What the image was called when it was mounted. */
  readonly name: string;
  /** Absolute path on the host. */
  readonly directory: string;
  readonly source: TreeSource;
  /** Whether the directory was made for the mount, and goes with it. */
  readonly madeDirectory: boolean;
  readonly mountedAt: string;
}

export interface MountState extends ImageMount {
  /** False after a reboot, or when somebody unmounted it by hand: only the record is left. */
  readonly mounted: boolean;
}

/** Read-only mounts of images on the host. Each is recorded before it is made. */
export interface ImageMounts {
  list(): readonly MountState[];
  /** @throws INPUT_INVALID (directory in use or not empty), SETUP_INCOMPLETE (not root) */
  mount(mount: Omit<ImageMount, "id" | "madeDirectory">): Promise<ImageMount>;
  /** Unmounts what is still mounted, frees the loop device, removes the record. @throws RESOURCE_BUSY */
  unmount(mount: ImageMount): Promise<void>;
}
