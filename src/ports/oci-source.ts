import type { Sha256 } from "../core/digest.ts";

/** Reads images of other makers: OCI layouts on disk and registries. */
export interface OciSource {
  /** The manifest digest (of linux/amd64) that a reference stands for now. */
  resolve(reference: string, folder: string): Promise<Sha256>;
  /** Host paths of the image's layer tars in order, each verified; may be compressed (see mediaType). */
  layers(reference: string, folder: string, digest: Sha256): Promise<readonly { readonly hostPath: string; readonly mediaType: string; readonly diffId: Sha256 }[]>;
}
