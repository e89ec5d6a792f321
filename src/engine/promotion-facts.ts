import { z } from "zod";
import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { ANNOTATIONS, type IndexEntry } from "../core/image/oci.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Channel } from "../core/channel/model.ts";
import type { ChannelPolicy } from "../core/audit/record.ts";
import type { Evidence, InstalledPackage, PromotionFacts } from "../core/promotion/facts.ts";
import type { Papers } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";
import type { ChannelParts } from "./channel-parts.ts";
import { nameOf } from "./find-image.ts";
import { contentOf } from "./image-content.ts";
import { parentsOf } from "./references.ts";

/** Everything that the gates of a channel look at, of one image. */
export async function promotionFacts(
  parts: ChannelParts,
  entry: IndexEntry,
  policy: ChannelPolicy,
  channel: Channel,
  latestRecordAt?: string,
): Promise<PromotionFacts> {
  const { ledger } = await parts.catalog();
  const papers = await parts.papers();
  const { digest, annotations } = entry;
  const before = policy.channels[policy.channels.findIndex(({ name }) => name === channel.name) - 1];
  const sbom = asksSbom(channel) ? readSbom(papers, digest) : undefined;
  const security =
    channel.sbom.securityOlderThanMs === undefined || sbom?.release === undefined
      ? undefined
      : await parts.securityUpdates({ release: sbom.release, packages: sbom.packages.map(({ name }) => name) });
  const declared = channel.checks.length === 0 ? undefined : await parts.promisedChecks(digest);
  const clock = parts.machineClock();
  return {
    image: {
      digest,
      reference: annotations[ANNOTATIONS.name] ?? shortDigest(digest),
      bakedBy: annotations[ANNOTATIONS.bakedBy] ?? "",
      contentFrom: new Date(contentOf(parts.store, entry).epochSeconds * 1000).toISOString(),
    },
    lineage: wholeLineage(parts.store, entry),
    revocations: await ledger.revocations(),
    ...(before === undefined ? {} : { before: { channel: before.name, moves: await ledger.moves(nameOf(entry), before.name) } }),
    ...(declared === undefined ? {} : { declared }),
    evidence: channel.checks.length === 0 ? [] : evidenceOf(papers, digest),
    approvals: channel.approvals.count === 0 ? [] : await ledger.approvals(digest),
    ...(sbom === undefined ? {} : { packages: sbom.packages }),
    ...(security === undefined ? {} : { security }),
    ...(latestRecordAt === undefined ? {} : { latestRecordAt }),
    ...(clock === undefined ? {} : { clock }),
  };
}

const asksSbom = ({ sbom }: Channel): boolean =>
  sbom.packages.length > 0 || sbom.licences.length > 0 || sbom.securityOlderThanMs !== undefined;

/** An image and all that it stands on, the lowest first: parents, and the root image of a volume. */
export function wholeLineage(store: Store, entry: IndexEntry): PromotionFacts["lineage"] {
  const byDigest = new Map(store.images.entries().map((each) => [each.digest, each]));
  const line = new Map<ImageDigest, PromotionFacts["lineage"][number]>();
  const visit = (digest: ImageDigest): void => {
    if (line.has(digest)) return;
    const found = byDigest.get(digest);
    line.set(digest, { digest, name: found === undefined ? "" : nameOf(found), here: found !== undefined });
    if (found !== undefined) parentsOf(store, found).forEach(visit);
  };
  visit(entry.digest);
  return [...line.values()].toReversed();
}

function evidenceOf(papers: Pick<Papers, "of" | "read">, digest: ImageDigest): readonly Evidence[] {
  return papers.of(digest, PREDICATES.checks).map((paper) => {
    const { trust, keyId, statement } = papers.read(paper);
    return {
      digest: paper.digest,
      trust,
      keyId,
      ...(statement === undefined
        ? {}
        : { subjects: statement.subject.map((subject) => subject.digest.sha256), predicate: statement.predicate }),
    };
  });
}

/** Of an SPDX document, what is needed here. */
const spdxSchema = z.object({
  packages: z.array(
    z.object({
      name: z.string(),
      versionInfo: z.string().optional(),
      licenseConcluded: z.string().optional(),
      licenseDeclared: z.string().optional(),
      externalRefs: z.array(z.object({ referenceLocator: z.string() })).optional(),
    }),
  ),
});

interface Sbom {
  readonly packages: readonly InstalledPackage[];
  /** `12`, when all packages are of one Debian release. */
  readonly release?: string;
}

/** The newest SBOM that is signed by a trusted key and about exactly this image: its Debian packages. */
export function readSbom(papers: Pick<Papers, "of" | "read">, digest: ImageDigest): Sbom | undefined {
  for (const paper of papers.of(digest, PREDICATES.spdx)) {
    const { trust, statement } = papers.read(paper);
    const document = spdxSchema.safeParse(statement?.predicate);
    if (trust !== "signed" || !document.success) continue;
    const found = document.data.packages.flatMap(({ name, versionInfo = "", externalRefs = [], ...licences }) => {
      const purl = externalRefs.map(({ referenceLocator }) => referenceLocator).find((locator) => locator.startsWith("pkg:deb/"));
      const licence = [licences.licenseConcluded, licences.licenseDeclared].find(
        (text) => text !== undefined && text !== "NOASSERTION" && text !== "NONE",
      );
      return purl === undefined ? [] : [{ purl, name, version: versionInfo, ...(licence === undefined ? {} : { licence }) }];
    });
    const releases = [...new Set(found.map(({ purl }) => /[?&]distro=debian-([0-9]+)/.exec(purl)?.[1]))];
    const [release] = releases;
    const packages = found.map(({ purl: _, ...one }) => one);
    return { packages, ...(releases.length !== 1 || release === undefined ? {} : { release }) };
  }
  return undefined;
}
