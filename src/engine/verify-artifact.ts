import { compareListings, withoutAccessLists, type ContentDifference } from "../core/artifact/content-listing.ts";
import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { ArtifactFormat, ArtifactReader, ReadArtifact } from "../ports/artifact-reader.ts";
import type { ContentReader } from "../ports/image-contents.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Store } from "../ports/store.ts";
import { readImage } from "./image-content.ts";

export interface VerifyArtifactParts {
  readonly reader: ArtifactReader;
  /** SHA-256 of a text. */
  digestOf(text: string): Sha256;
  /** Of the store that the image may be in; absent where there is none. */
  readonly images?: { readonly store: Store; readonly trees: ImageTrees; readonly contents: ContentReader };
}

export interface VerifyArtifactOptions {
  /** Content digest that it must have. */
  readonly expected?: Sha256;
  readonly signal: AbortSignal;
  readonly onBytes: (doneBytes: number) => void;
}

/**
 * What the content was compared with. `store`: the image in this store. `digest`: a digest that was given. `itself`: the listing
 * and digest that the artifact carries, which whoever changed it may have changed, too. `nothing`: there was nothing to compare with.
 */
export type ComparedWith = "store" | "digest" | "itself" | "nothing";

export interface VerifiedArtifact {
  readonly file: string;
  readonly format: ArtifactFormat;
  /** `unproven`: it was read, but nothing says what should be in it. */
  readonly verdict: "intact" | "differs" | "unproven";
  /** Of what was read; of a squashfs without access lists. */
  readonly content: Sha256;
  readonly comparedWith: ComparedWith;
  /** What it says of itself. */
  readonly stated?: { readonly image: ImageDigest; readonly name: string; readonly content: Sha256 };
  readonly differences: readonly ContentDifference[];
  readonly faults: readonly string[];
  readonly lacksAccessLists: boolean;
}

/**
 * Reads every file of an artifact back and compares it with the image's content: as the store has it, or a given digest says, or
 * the artifact itself.
 *
 * @throws what `ArtifactReader.read` does
 */
export async function verifyArtifact(parts: VerifyArtifactParts, file: string, options: VerifyArtifactOptions): Promise<VerifiedArtifact> {
  const read = await parts.reader.read(file, options);
  const known = await knownContent(parts, read, options);
  const { record } = read;
  const shown = read.lacksAccessLists ? withoutAccessLists : (listing: string): string => listing;
  const differences = known.listing === undefined ? [] : compareListings(shown(known.listing), read.listing);
  const content = parts.digestOf(read.listing);
  const faults = [...read.faults, ...digestFaults(parts, read, content, known, options.expected)];
  const intact = differences.length === 0 && faults.length === 0;
  return {
    file,
    format: read.format,
    verdict: !intact ? "differs" : known.with === "nothing" ? "unproven" : "intact",
    content,
    comparedWith: known.with,
    ...(record === undefined ? {} : { stated: { image: record.image, name: record.name, content: record.content } }),
    ...{ differences, faults, lacksAccessLists: read.lacksAccessLists },
  };
}

interface Known {
  readonly with: ComparedWith;
  readonly listing?: string;
}

async function knownContent(
  { images }: VerifyArtifactParts,
  { record, carried }: ReadArtifact,
  options: VerifyArtifactOptions,
): Promise<Known> {
  if (images !== undefined && record !== undefined && images.store.images.entries().some(({ digest }) => digest === record.image)) {
    const { source } = readImage(images.store, record.image);
    await images.trees.ensureUnpacked(source.diffs);
    let close = async (): Promise<void> => undefined;
    try {
      const { listing } = await images.contents.of(
        record.image,
        async () => {
          const tree = await images.trees.open(source);
          close = () => tree.close();
          return tree;
        },
        options,
      );
      return { with: "store", listing };
    } finally {
      await close();
    }
  }
  const listing = carried === undefined ? {} : { listing: carried };
  if (options.expected !== undefined) return { with: "digest", ...listing };
  return record === undefined ? { with: "nothing" } : { with: "itself", ...listing };
}

/** What digests say: the one that was asked for, the one in the record, the one of the listing that it carries. */
function digestFaults(
  { digestOf }: VerifyArtifactParts,
  read: ReadArtifact,
  content: Sha256,
  known: Known,
  expected: Sha256 | undefined,
): readonly string[] {
  const { record, carried, lacksAccessLists } = read;
  // a squashfs cannot give the image's digest back: then its listing has it, and was compared
  const whole = lacksAccessLists && known.listing !== undefined ? digestOf(known.listing) : content;
  return [
    ...(expected !== undefined && whole !== expected ? [`its content is ${whole}, and should be ${expected}`] : []),
    ...(record !== undefined && whole !== record.content ? [`its content is ${whole}, and it says of itself ${record.content}`] : []),
    ...(record !== undefined && carried !== undefined && digestOf(carried) !== record.content
      ? [`the listing that it carries is that of ${digestOf(carried)}, and its record names ${record.content}`]
      : []),
  ];
}
