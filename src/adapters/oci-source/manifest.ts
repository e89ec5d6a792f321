import { z } from "zod";
import { BakehouseError } from "../../core/errors.ts";
import { isSha256, type Sha256 } from "../../core/digest.ts";

const digest = z.string().refine(isSha256, "is no SHA-256") as z.ZodType<Sha256>;

const descriptor = z.object({
  mediaType: z.string().default(""),
  digest,
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: z.object({ architecture: z.string(), os: z.string() }).optional(),
});

/** An OCI image index or a Docker manifest list; `index.json` of a layout is one as well. */
const index = z.object({ manifests: z.array(descriptor).min(1) });
const manifest = z.object({ config: descriptor, layers: z.array(descriptor) });
const config = z.object({
  architecture: z.string().optional(),
  os: z.string().optional(),
  rootfs: z.object({ diff_ids: z.array(digest) }),
});

export type Descriptor = z.output<typeof descriptor>;
export type Manifest = z.output<typeof manifest>;

/** What stands in a JSON document that names images: one image's manifest, or a list of several. */
export function readDocument(text: string, where: string): { readonly manifest: Manifest } | { readonly manifests: readonly Descriptor[] } {
  const value: unknown = parse(text, where);
  const asManifest = manifest.safeParse(value);
  if (asManifest.success) return { manifest: asManifest.data };
  const asIndex = index.safeParse(value);
  if (asIndex.success) return { manifests: asIndex.data.manifests };
  throw new BakehouseError("INPUT_INVALID", `${where} is neither an image manifest nor an index`, {
    hint: "only OCI and Docker schema 2 images are understood",
  });
}

/** Of the images in a list, the one for linux/amd64. */
export function forThisPlatform(manifests: readonly Descriptor[], where: string): Descriptor {
  const images = manifests.filter((entry) => !entry.annotations?.["vnd.docker.reference.type"]); // attestations stand there as well
  const fitting = images.filter(
    (entry) => entry.platform === undefined || (entry.platform.os === "linux" && entry.platform.architecture === "amd64"),
  );
  const [only, ...others] = fitting;
  if (only !== undefined && others.length === 0) return only;
  const offered = images
    .map((entry) => (entry.platform === undefined ? entry.digest : `${entry.platform.os}/${entry.platform.architecture}`))
    .join(", ");
  throw new BakehouseError(
    "INPUT_INVALID",
    `${where} has ${only === undefined ? "no image" : "several images"} for linux/amd64, but ${offered}`,
  );
}

/** The diff ids of an image's layers. @throws BakehouseError INPUT_INVALID for another platform */
export function diffIdsOf(text: string, image: Manifest, where: string): readonly Sha256[] {
  const parsed = config.safeParse(parse(text, where));
  if (!parsed.success) throw new BakehouseError("INPUT_INVALID", `${where} has no image configuration: it may be an artifact and no image`);
  const { architecture = "amd64", os = "linux", rootfs } = parsed.data;
  if (architecture !== "amd64" || os !== "linux")
    throw new BakehouseError("INPUT_INVALID", `${where} is for ${os}/${architecture}, not for linux/amd64`);
  if (rootfs.diff_ids.length !== image.layers.length)
    throw new BakehouseError("INPUT_INVALID", `${where} has ${image.layers.length} layers, but ${rootfs.diff_ids.length} diff ids`);
  return rootfs.diff_ids;
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BakehouseError("INPUT_INVALID", `${where} is no JSON`, {}, cause);
  }
}
