import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { Sha256 } from "../../core/digest.ts";
import type { OciLayer, OciSource } from "../../ports/oci-source.ts";
import { directoryBlobs, layoutBlobs, readBlob, verifiedBlob, type Blobs } from "./blobs.ts";
import { diffIdsOf, forThisPlatform, readDocument, type Descriptor } from "./manifest.ts";
import { parseReference, type Reference } from "./reference.ts";
import { askRegistry, fetchImage } from "./registry.ts";

export interface OciSourceOptions {
  /** Where images of registries are kept, by manifest digest. */
  readonly folder: string;
}

/** OCI layouts are read where they lie; images of registries are fetched by skopeo. Every blob is verified. */
export function ociSource(options: OciSourceOptions): OciSource {
  return {
    resolve: async (text, folder) => {
      const reference = parseReference(text, folder);
      if (reference.kind === "layout") return resolveInLayout(reference);
      const digest = await askRegistry(reference);
      const blobs = directoryBlobs(await fetchImage(reference, digest, options.folder), digest); // a bake must not need the registry
      const document = readDocument(readBlob(blobs, digest, text), text);
      if ("manifest" in document) diffIdsOf(readBlob(blobs, document.manifest.config.digest, text), document.manifest, text); // refuses other platforms now
      return digest;
    },
    layers: async (text, folder, digest) => {
      const reference = parseReference(text, folder);
      const blobs =
        reference.kind === "layout"
          ? layoutBlobs(reference.path)
          : directoryBlobs(await fetchImage(reference, digest, options.folder), digest);
      return layersOf(blobs, digest, text);
    },
  };
}

const REF_NAME = "org.opencontainers.image.ref.name";

function resolveInLayout(reference: Extract<Reference, { kind: "layout" }>): Sha256 {
  const where = `oci:${reference.path}`;
  const { manifests } = readIndex(reference.path);
  let chosen = chooseByTag(manifests, reference.tag, where);
  const blobs = layoutBlobs(reference.path);
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const document = readDocument(readBlob(blobs, chosen.digest, where), where);
    if ("manifest" in document) {
      diffIdsOf(readBlob(blobs, document.manifest.config.digest, where), document.manifest, where);
      return chosen.digest;
    }
    chosen = forThisPlatform(document.manifests, where);
  }
  throw new BakehouseError("INPUT_INVALID", `${where} has indexes in indexes, more than ${MAX_DEPTH} deep`);
}

/** A guess: real images have one index above the manifest. */
const MAX_DEPTH = 4;

function readIndex(path: string): { readonly manifests: readonly Descriptor[] } {
  let text: string;
  try {
    text = readFileSync(join(path, "index.json"), "utf8");
  } catch (cause) {
    throw new BakehouseError("INPUT_INVALID", `${path} is no OCI image layout: it has no index.json`, {}, cause);
  }
  const document = readDocument(text, join(path, "index.json"));
  if ("manifest" in document) throw new BakehouseError("INPUT_INVALID", `${path}/index.json is a manifest, not an index`);
  return document;
}

function chooseByTag(manifests: readonly Descriptor[], tag: string | undefined, where: string): Descriptor {
  const named = tag === undefined ? manifests : manifests.filter((entry) => entry.annotations?.[REF_NAME] === tag);
  const [only] = named;
  if (only !== undefined && named.length === 1) return only;
  const tags = manifests.map((entry) => entry.annotations?.[REF_NAME] ?? entry.digest).join(", ");
  if (tag !== undefined && only === undefined) throw new BakehouseError("INPUT_INVALID", `${where} has no image "${tag}"; it has: ${tags}`);
  return named.some((entry) => entry.platform !== undefined) ? forThisPlatform(named, where) : refuseMany(where, tags);
}

const refuseMany = (where: string, tags: string): never => {
  throw new BakehouseError("INPUT_INVALID", `${where} has several images: ${tags}`, { hint: "say which one: oci:folder:tag" });
};

async function layersOf(blobs: Blobs, digest: Sha256, where: string): Promise<readonly OciLayer[]> {
  const document = readDocument(readBlob(blobs, digest, where), where);
  if (!("manifest" in document)) throw new BakehouseError("INPUT_INVALID", `${where}: ${digest} is an index and no image`);
  const { manifest } = document;
  const diffIds = diffIdsOf(readBlob(blobs, manifest.config.digest, where), manifest, where);
  const layers: OciLayer[] = [];
  for (const [index, layer] of manifest.layers.entries()) {
    const diffId = diffIds[index];
    if (diffId === undefined) throw new Error("diff ids were counted before");
    layers.push({ hostPath: await verifiedBlob(blobs, layer.digest, where), mediaType: layer.mediaType, diffId });
  }
  return layers;
}
