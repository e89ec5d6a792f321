import { readFileSync } from "node:fs";
import { BakehouseError } from "../core/errors.ts";
import { findImage } from "../engine/find-image.ts";
import { verifyImage, type ImageVerification, type VerifyImageOptions } from "../engine/verify-image.ts";
import type { KeyTrust } from "../ports/keys.ts";
import { keyOf, trustOnly } from "../adapters/local-keys/index.ts";
import { readPaper } from "../adapters/local-papers/index.ts";
import { isOciLayout, openOciLayout } from "../adapters/oci-layout/index.ts";
import type { ImageParts } from "./images.ts";

const clock = { elapsedMs: () => performance.now() };

/** Trusts the keys of these PEM files and no others. @throws KEY_INVALID */
export const trustFiles = (files: readonly string[]): KeyTrust =>
  trustOnly(
    files.map((file) => {
      try {
        return keyOf(readFileSync(file, "utf8"), file);
      } catch (error) {
        if (error instanceof BakehouseError) throw error;
        throw new BakehouseError(
          "KEY_INVALID",
          `Cannot read the key ${file}: ${(error as Error).message}`,
          { hint: "name a PEM file" },
          error,
        );
      }
    }),
  );

export { isOciLayout };

/** Verifies images of a layout, a folder or a tar, wherever it is; needs no store. */
export async function verifyLayout(path: string, shown: string, trust: KeyTrust, options: VerifyImageOptions): Promise<ImageVerification> {
  const layout = await openOciLayout(path, { shown, signal: options.signal });
  return verifyImage({ layout, clock, readPaper: (paper, envelope) => readPaper(paper, envelope, trust) }, options);
}

/** Verifies an image of a store, by its keys or by those that are given. */
export async function verifyStoredImage(
  parts: ImageParts,
  reference: string,
  trust: KeyTrust | undefined,
  options: Omit<VerifyImageOptions, "image">,
): Promise<ImageVerification> {
  const { digest } = findImage(parts.store, reference);
  return verifyLayout(parts.store.path("oci"), "the store", trust ?? (await parts.keys()), { ...options, image: digest });
}
