import { isSha256, shortDigest, type DiffId, type ImageDigest, type Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, type Descriptor, type ImageConfig, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import { paperName } from "../core/papers/paper-names.ts";
import type { Provenance } from "../core/papers/provenance.ts";
import { paperOf } from "../core/papers/read-paper.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Clock } from "../ports/host.ts";
import type { OciLayout } from "../ports/oci-layouts.ts";
import type { Paper, ReadPaper, Trust } from "../ports/papers.ts";
import { nameOf } from "./find-image.ts";
import { kindOf } from "./image-content.ts";

export interface VerifyImageParts {
  readonly layout: OciLayout;
  readonly clock: Pick<Clock, "elapsedMs">;
  /** Opens an envelope and judges its signature by the keys that count. */
  readPaper(paper: Paper, envelope: string | undefined): ReadPaper;
}

export interface VerifyImageOptions {
  /** Name or beginning of a digest; default every image that nothing else of the layout stands on. */
  readonly image?: string;
  readonly signal: AbortSignal;
  onProgress(doneBytes: number, totalBytes: number): void;
}

export interface VerifiedPaper {
  readonly digest: Sha256;
  readonly predicateType: string;
  readonly trust: Trust;
  readonly keyId: string;
  readonly writtenAt: string;
}

/** One link of the chain from an image to its foundation. */
export interface VerifiedLink {
  readonly digest: ImageDigest;
  readonly name: string;
  readonly kind: "image" | "volume" | "launch";
  /** By which papers that can be trusted it is named itself; without any, what stands on it vouches for it by digest. */
  readonly papers: readonly VerifiedPaper[];
  readonly problems: readonly string[];
}

export interface VerifiedImage {
  readonly digest: ImageDigest;
  readonly name: string;
  /** The image first, the foundation last. */
  readonly chain: readonly VerifiedLink[];
  readonly sound: boolean;
}

export interface ImageVerification {
  readonly images: readonly VerifiedImage[];
  readonly sound: boolean;
  readonly blobs: number;
  readonly bytes: number;
  readonly hashingMs: number;
}

/**
 * Verifies images with nothing but an OCI layout and public keys: every blob against its digest, layers against configuration,
 * each image against the one that it was baked onto, up to the foundation, and every paper's signature and subject.
 *
 * An image is sound when nothing of this fails and a trusted key signed its provenance (of an image from elsewhere: any paper).
 * A paper by an unknown key is no harm where a trusted one of the same kind stands beside it, as after a key was retired.
 *
 * @throws IMAGE_NOT_FOUND (no such image in the layout), CANCELLED; what does not verify is a result
 */
export async function verifyImage(parts: VerifyImageParts, options: VerifyImageOptions): Promise<ImageVerification> {
  const verifier = new Verifier(parts, options);
  const chosen = choose(parts.layout, options.image);
  const images: VerifiedImage[] = [];
  for (const entry of chosen) images.push(await verifier.verify(entry));
  return { images, sound: images.every(({ sound }) => sound), ...verifier.counts() };
}

function choose({ entries }: OciLayout, wanted: string | undefined): readonly IndexEntry[] {
  if (wanted === undefined) {
    const bases = new Set(entries.flatMap(({ annotations }) => annotations[ANNOTATIONS.baseDigest] ?? []));
    const tops = entries.filter(({ digest }) => !bases.has(digest));
    if (tops.length > 0) return tops;
    throw new BakehouseError("IMAGE_NOT_FOUND", "The layout lists no image", { hint: "copy it again" });
  }
  const hex = wanted.replace(/^sha256:/, "");
  const found = entries.filter(
    (entry) => entry.annotations[ANNOTATIONS.name] === wanted || (/^[0-9a-f]{4,64}$/.test(hex) && entry.digest.slice(7).startsWith(hex)),
  );
  if (found.length === 1) return found;
  throw new BakehouseError(
    "IMAGE_NOT_FOUND",
    `The layout holds ${found.length === 0 ? "no image" : `${found.length} images`} called ${wanted}`,
    {
      hint: `it holds ${entries.map((entry) => nameOf(entry) || shortDigest(entry.digest)).join(", ")}`,
    },
  );
}

interface ReadImage {
  readonly manifest: ImageManifest;
  /** Absent for volumes. */
  readonly config?: ImageConfig;
}

class Verifier {
  private readonly parts: VerifyImageParts;
  private readonly options: VerifyImageOptions;
  /** What is wrong with a blob; undefined: nothing. Each is hashed once. */
  private readonly hashed = new Map<Sha256, string | undefined>();
  private bytes = 0;
  private hashingMs = 0;

  constructor(parts: VerifyImageParts, options: VerifyImageOptions) {
    this.parts = parts;
    this.options = options;
  }

  counts(): Pick<ImageVerification, "blobs" | "bytes" | "hashingMs"> {
    return { blobs: this.hashed.size, bytes: this.bytes, hashingMs: Math.round(this.hashingMs) };
  }

  async verify(entry: IndexEntry): Promise<VerifiedImage> {
    const chain: VerifiedLink[] = [];
    const seen = new Set<ImageDigest>();
    for (let at: ImageDigest | undefined = entry.digest, child: ReadImage | undefined; at !== undefined && !seen.has(at);) {
      seen.add(at);
      const { link, image } = await this.verifyLink(at, child, chain.length === 0);
      chain.push(link);
      at = image === undefined ? undefined : this.parentOf(image.manifest);
      child = image ?? child;
    }
    return { digest: entry.digest, name: nameOf(entry), chain, sound: chain.every(({ problems }) => problems.length === 0) };
  }

  private async verifyLink(
    digest: ImageDigest,
    child: ReadImage | undefined,
    isTop: boolean,
  ): Promise<{ readonly link: VerifiedLink; readonly image?: ReadImage }> {
    const listed = this.parts.layout.entries.find((entry) => entry.digest === digest);
    const problems: string[] = [];
    const image = await this.readImage(digest, problems, isTop ? "the image" : "the parent");
    const kind = image === undefined ? "image" : kindOf(image.manifest);
    const named = listed === undefined ? "" : nameOf(listed);
    const name = named === "" ? (image?.manifest.annotations?.[ANNOTATIONS.title] ?? "") : named;
    if (image === undefined) return { link: { digest, name, kind, papers: [], problems } };
    problems.push(...(await this.contentProblems(image)), ...fitProblems(image, child));
    const papers = await this.papersOf(digest, problems);
    const trusted = papers.filter(({ trust }) => trust === "signed");
    if (isTop) problems.push(...this.unsignedProblems(image, listed, trusted));
    problems.push(...(await this.provenanceProblems(digest, image, trusted)));
    return { link: { digest, name, kind, papers, problems }, image };
  }

  private async readImage(digest: ImageDigest, problems: string[], what: string): Promise<ReadImage | undefined> {
    const manifest = await this.readJson<ImageManifest>(digest, problems, what);
    if (manifest === undefined) return undefined;
    if (!Array.isArray(manifest.layers) || !isSha256(String(manifest.config?.digest))) {
      problems.push(`${what} ${shortDigest(digest)} is no manifest`);
      return undefined;
    }
    if (kindOf(manifest) !== "image") return { manifest };
    const config = await this.readJson<ImageConfig>(manifest.config.digest, problems, "its configuration");
    return config === undefined ? { manifest } : { manifest, config };
  }

  /** Verified before it is read. */
  private async readJson<T>(digest: Sha256, problems: string[], what: string): Promise<T | undefined> {
    const problem = await this.blobProblem(digest);
    if (problem !== undefined) {
      problems.push(`${what} ${shortDigest(digest)} ${problem}`);
      return undefined;
    }
    try {
      const value = JSON.parse(this.parts.layout.read(digest)) as T | null;
      if (value !== null && typeof value === "object") return value;
    } catch {
      // said below
    }
    problems.push(`${what} ${shortDigest(digest)} is not JSON`);
    return undefined;
  }

  private async blobProblem(digest: Sha256): Promise<string | undefined> {
    if (this.hashed.has(digest)) return this.hashed.get(digest);
    const { layout, clock } = this.parts;
    const startedMs = clock.elapsedMs();
    const problem = !layout.has(digest)
      ? "is missing"
      : await layout
          .hash(digest, {
            signal: this.options.signal,
            onBytes: (count) => {
              this.bytes += count;
              this.options.onProgress(this.bytes, this.bytes);
            },
          })
          .then((found) => (found === digest ? undefined : `is changed: it hashes to ${shortDigest(found)}`));
    this.hashingMs += clock.elapsedMs() - startedMs;
    this.hashed.set(digest, problem);
    return problem;
  }

  private async contentProblems({ manifest, config }: ReadImage): Promise<readonly string[]> {
    const problems: string[] = [];
    for (const [index, layer] of manifest.layers.entries()) {
      const problem = await this.blobProblem(layer.digest);
      if (problem !== undefined) problems.push(`layer ${index + 1} (${shortDigest(layer.digest)}) ${problem}`);
    }
    const diffs = config?.rootfs?.diff_ids;
    if (diffs === undefined) return problems;
    // of a compressed layer the configuration names the content, the manifest the file
    const plain = manifest.layers.every(({ mediaType }) => mediaType.endsWith(".tar"));
    if (diffs.length !== manifest.layers.length || (plain && manifest.layers.some(({ digest }, at) => digest !== diffs[at])))
      problems.push("its layers are not those that its configuration names");
    return problems;
  }

  private async papersOf(image: ImageDigest, problems: string[]): Promise<readonly VerifiedPaper[]> {
    const index = this.parts.layout.attached.get(image);
    if (index === undefined) return [];
    const list = await this.readJson<{ readonly manifests?: readonly Descriptor[] }>(index, problems, "the list of its papers");
    const papers: VerifiedPaper[] = [];
    for (const { digest } of list?.manifests ?? []) {
      const manifest = await this.readJson<ImageManifest>(digest, problems, "a paper");
      const paper = manifest === undefined ? undefined : paperOf(digest, manifest);
      if (paper === undefined) continue; // something that another program attached
      papers.push(await this.verifyPaper(paper, image, problems));
    }
    for (const paper of papers.filter(({ trust }) => trust === "unknown-key")) {
      const isReplaced = papers.some(({ trust, predicateType }) => trust === "signed" && predicateType === paper.predicateType);
      if (!isReplaced) problems.push(`${wordOf(paper)} is signed by a key that is not trusted here (${paper.keyId.slice(0, 12)})`);
    }
    return papers;
  }

  private async verifyPaper(paper: Paper, image: ImageDigest, problems: string[]): Promise<VerifiedPaper> {
    const read = this.open(paper);
    const problem = await this.blobProblem(paper.blob);
    const trust: Trust = problem !== undefined ? "bad-signature" : paper.subject === image ? read.trust : "wrong-subject";
    const { digest, predicateType, writtenAt } = paper;
    const verified: VerifiedPaper = { digest, predicateType, trust, keyId: read.keyId, writtenAt };
    if (problem !== undefined) problems.push(`${wordOf(verified)} (${shortDigest(paper.blob)}) ${problem}`);
    else if (trust === "bad-signature") problems.push(`${wordOf(verified)} is not what its key signed, or cannot be read`);
    else if (trust === "wrong-subject") problems.push(`${wordOf(verified)} speaks of ${subjectsOf(read)}, not of this image`);
    return verified;
  }

  private open(paper: Paper): ReadPaper {
    try {
      return this.parts.readPaper(paper, this.parts.layout.read(paper.blob));
    } catch {
      return this.parts.readPaper(paper, undefined);
    }
  }

  private unsignedProblems({ manifest }: ReadImage, listed: IndexEntry | undefined, trusted: readonly VerifiedPaper[]): readonly string[] {
    const imported = listed?.annotations[ANNOTATIONS.imported] !== undefined || manifest.annotations?.[ANNOTATIONS.imported] !== undefined;
    if (trusted.some(({ predicateType }) => predicateType === PREDICATES.provenance)) return [];
    if (imported && trusted.length > 0) return [];
    return [trusted.length === 0 ? "no trusted key signed anything about it" : "no trusted key signed how it was baked"];
  }

  /**
   * A volume belongs to its root image, an image was baked onto its base; a foundation onto nothing. An image whose layers were
   * decompressed when it came here has a new digest: what its maker says about a base that nobody has leads nowhere.
   */
  private parentOf({ subject, annotations = {} }: ImageManifest): ImageDigest | undefined {
    const parent = subject?.digest ?? annotations[ANNOTATIONS.baseDigest];
    if (parent === undefined || !isSha256(parent)) return undefined;
    return annotations[ANNOTATIONS.imported] !== undefined && !this.parts.layout.has(parent) ? undefined : parent;
  }

  /** What its provenance says must fit what its manifest says. */
  private async provenanceProblems(
    digest: ImageDigest,
    { manifest }: ReadImage,
    trusted: readonly VerifiedPaper[],
  ): Promise<readonly string[]> {
    const parent = manifest.annotations?.[ANNOTATIONS.baseDigest];
    const newest = trusted.find(({ predicateType }) => predicateType === PREDICATES.provenance);
    if (newest === undefined || parent === undefined) return [];
    const problems: string[] = [];
    const value = await this.readJson<ImageManifest>(newest.digest, problems, "a paper");
    const paper = paperOf(newest.digest, value);
    const statement = paper === undefined ? undefined : this.open(paper).statement;
    const dependencies = (statement?.predicate as Partial<Provenance> | undefined)?.buildDefinition?.resolvedDependencies ?? [];
    if (!dependencies.some((dependency) => `sha256:${dependency.digest.sha256}` === parent))
      problems.push(`its provenance does not name ${shortDigest(parent as Sha256)}, onto which ${shortDigest(digest)} was baked`);
    return problems;
  }
}

/** Everything of the image below must be in the one above, in its place. */
function fitProblems(parent: ReadImage, child: ReadImage | undefined): readonly string[] {
  const below: readonly DiffId[] = parent.config?.rootfs?.diff_ids ?? [];
  const above: readonly DiffId[] | undefined = child?.config?.rootfs?.diff_ids;
  if (above === undefined || below.every((diff, at) => above[at] === diff)) return [];
  return ["its layers are not the lower ones of the image that was baked onto it"];
}

const wordOf = ({ predicateType }: Pick<VerifiedPaper, "predicateType">): string => `the ${paperName(predicateType)}`;

function subjectsOf({ statement, paper }: ReadPaper): string {
  const digests = (statement?.subject ?? []).map(({ digest }) => String(digest?.sha256).slice(0, 12));
  return digests.length === 0 ? shortDigest(paper.subject) : digests.join(", ");
}
