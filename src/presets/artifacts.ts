import { mkdirSync, statSync } from "node:fs";
import type { VerifyArtifactParts } from "../engine/verify-artifact.ts";
import { artifactReader, digestOfListing } from "../adapters/artifacts/index.ts";
import { openImages } from "./images.ts";

/**
 * What `verifyArtifact` needs.
 *
 * @param store  folder of the store whose images artifacts are compared with; none is needed
 */
export async function openArtifacts(store: string | undefined): Promise<VerifyArtifactParts & { close(): Promise<void> }> {
  const common = { reader: artifactReader(), digestOf: digestOfListing };
  if (store === undefined) return { ...common, close: async () => undefined };
  const images = openImages({ store });
  const { trees, contents } = await images.exporting();
  return { ...common, images: { store: images.store, trees, contents }, close: () => images.close() };
}

export const makeFolder = (path: string): void => void mkdirSync(path, { recursive: true });

export const sizeOf = (file: string): number | undefined => statSync(file, { throwIfNoEntry: false })?.size;
