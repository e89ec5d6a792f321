import { readFileSync, statSync } from "node:fs";
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

/**
 * Whether something is a path to an OCI layout rather than the name of an image.
 *
 * @throws INPUT_INVALID for a tar, which is to be unpacked first
 */
export function isLayoutPath(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === true && path.endsWith(".tar"))
    throw new BakehouseError("INPUT_INVALID", `${path} is a tar: verifying reads a layout in a folder`, {
      hint: `mkdir layout && tar -xf ${path} -C layout, then verify layout`,
    });
  return isOciLayout(path);
}

/** Verifies images of a layout in any folder; needs no store. */
export const verifyLayout = (folder: string, shown: string, trust: KeyTrust, options: VerifyImageOptions): Promise<ImageVerification> =>
  verifyImage({ layout: openOciLayout(folder, shown), clock, readPaper: (paper, envelope) => readPaper(paper, envelope, trust) }, options);

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
