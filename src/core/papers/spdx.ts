import { hexOf, type ImageDigest } from "../digest.ts";
import type { Inventory, InventoryPackage } from "./inventory.ts";
import { debianPurl } from "./purl.ts";

/** The image that a bill of materials is about. */
export interface DescribedImage {
  readonly name: string;
  readonly digest: ImageDigest;
  /** Newest time in it, ISO 8601: the same image always gives the same document. */
  readonly created: string;
  /** `bakehouse 0.1.0` */
  readonly tool: string;
}

interface Relationship {
  readonly spdxElementId: string;
  readonly relationshipType: "DESCRIBES" | "CONTAINS";
  readonly relatedSpdxElement: string;
}

/**
 * An SPDX 2.3 document: the image, its packages with what each owns, and the files that no package owns, which the image itself
 * contains (`hasFiles`: a relationship for each of ten thousand files would make the document a third larger). Deterministic: names are made from digests and places, times are the image's.
 *
 * @param sha1  hex SHA-1 of a text, for the packages' verification codes (SPDX 2.3, section 7.9)
 * @see   https://spdx.github.io/spdx-spec/v2.3/
 */
export function spdxDocument(image: DescribedImage, inventory: Inventory, sha1: (text: string) => string): Record<string, unknown> {
  const { packages, files, unowned } = inventory;
  const fileId = (index: number): string => `SPDXRef-File-${index + 1}`;
  const codeOf = (own: readonly number[]): string =>
    sha1(
      own
        .map((index) => files[index]?.sha1 ?? "")
        .sort()
        .join(""),
    );
  const analysed = (own: readonly number[]): Record<string, unknown> =>
    own.length === 0
      ? { filesAnalyzed: false }
      : { filesAnalyzed: true, packageVerificationCode: { packageVerificationCodeValue: codeOf(own) }, hasFiles: own.map(fileId) };
  const references = new Set(
    packages.flatMap(({ licences }) => licences.flatMap((text) => text.match(/LicenseRef-[A-Za-z0-9.-]+/g) ?? [])),
  );
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: image.name,
    documentNamespace: `https://bakehouse.dev/spdx/${image.name}/${hexOf(image.digest)}`,
    creationInfo: { created: image.created, creators: [`Tool: ${image.tool.replace(" ", "-")}`] },
    packages: [
      {
        SPDXID: IMAGE_ID,
        name: image.name,
        versionInfo: image.digest,
        supplier: "NOASSERTION",
        downloadLocation: "NOASSERTION",
        ...analysed(unowned),
        licenseConcluded: "NOASSERTION",
        licenseDeclared: "NOASSERTION",
        copyrightText: "NOASSERTION",
        primaryPackagePurpose: "OPERATING-SYSTEM",
        checksums: [{ algorithm: "SHA256", checksumValue: hexOf(image.digest) }],
      },
      ...packages.map((pkg) => ({ ...packageItem(pkg, inventory), ...analysed(pkg.files) })),
    ],
    files: files.map((file, index) => ({
      SPDXID: fileId(index),
      fileName: `.${file.path}`,
      checksums: [
        { algorithm: "SHA1", checksumValue: file.sha1 },
        { algorithm: "SHA256", checksumValue: file.sha256 },
      ],
    })),
    hasExtractedLicensingInfos: [...references].sort().map((licenseId) => ({
      licenseId,
      name: licenseId.slice("LicenseRef-".length),
      extractedText: "The text is in the copyright file of the package, below /usr/share/doc.",
    })),
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: IMAGE_ID },
      ...packages.map((pkg): Relationship => ({
        spdxElementId: IMAGE_ID,
        relationshipType: "CONTAINS",
        relatedSpdxElement: packageId(pkg),
      })),
    ],
  };
}

const IMAGE_ID = "SPDXRef-Image";

/** Letters, digits, `.` and `-` are all that an SPDX id may have. `+` and `_` are told apart, so that no two packages share one. */
const packageId = ({ name, architecture }: InventoryPackage): string =>
  `SPDXRef-Package-${name.replaceAll("+", "-plus-").replaceAll("_", "-underscore-")}-${architecture}`;

const packageItem = (pkg: InventoryPackage, { os }: Inventory): Record<string, unknown> => ({
  SPDXID: packageId(pkg),
  name: pkg.name,
  versionInfo: pkg.version,
  supplier: pkg.maintainer === "" ? "NOASSERTION" : `Organization: ${pkg.maintainer}`,
  downloadLocation: "NOASSERTION",
  ...(pkg.homepage === undefined ? {} : { homepage: pkg.homepage }),
  sourceInfo: `built from source package ${pkg.source} ${pkg.sourceVersion}`,
  ...(pkg.summary === "" ? {} : { summary: pkg.summary }),
  licenseConcluded: "NOASSERTION",
  licenseDeclared: declared(pkg.licences),
  copyrightText: "NOASSERTION",
  externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: debianPurl(pkg, os) }],
});

/** Different files have different licences: all of them hold for the package. */
const declared = (licences: readonly string[]): string =>
  licences.length === 0
    ? "NOASSERTION"
    : licences.map((text) => (licences.length > 1 && / (?:OR|AND) /.test(text) ? `(${text})` : text)).join(" AND ");
