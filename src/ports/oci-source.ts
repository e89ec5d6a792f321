import type { Sha256 } from "../core/digest.ts";

export interface OciLayer {
  readonly hostPath: string;
  readonly mediaType: string;
  readonly diffId: Sha256;
}

/** Reads images of other makers: OCI layouts on disk and registries. */
export interface OciSource {
  /** The manifest digest (of linux/amd64) that a reference stands for now. */
  resolve(reference: string, folder: string): Promise<Sha256>;
  /** Host paths of the image's layer tars in order, each verified; may be compressed (see mediaType). */
  layers(reference: string, folder: string, digest: Sha256): Promise<readonly OciLayer[]>;
}

/** The image that a step's `requires.image` named, at the digest that the lock holds. */
export interface LockedImage {
  readonly digest: Sha256;
  layers(): Promise<readonly OciLayer[]>;
}
