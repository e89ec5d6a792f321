import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { OpenTree } from "./image-trees.ts";

/** The content of an image, as a listing and in figures. */
export interface ImageContents {
  /** See core/artifact/content-listing.ts. */
  readonly listing: string;
  /** The SHA-256 of the listing. */
  readonly digest: Sha256;
}

/** Reads what is in a tree. */
export interface ContentReader {
  /** @param image  remembered under this digest, which determines the content */
  of(
    image: ImageDigest,
    open: () => Promise<OpenTree>,
    options: { readonly signal: AbortSignal; readonly onBytes: (doneBytes: number) => void },
  ): Promise<ImageContents>;
}
