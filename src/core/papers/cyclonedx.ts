import { hexOf } from "../digest.ts";
import { uuidOfDigest } from "../layer/volume-id.ts";
import type { Inventory, InventoryPackage } from "./inventory.ts";
import { debianPurl } from "./purl.ts";
import type { DescribedImage } from "./spdx.ts";

/**
 * A CycloneDX 1.6 document: packages with the places of their files (`evidence.occurrences`), and the files that no package owns
 * as components of their own. Deterministic: the serial number is made from the image's digest, the time is the image's.
 *
 * @see https://cyclonedx.org/docs/1.6/json/
 */
export function cyclonedxDocument(image: DescribedImage, inventory: Inventory): Record<string, unknown> {
  const { packages, files, unowned, os } = inventory;
  const [tool = "", version = ""] = image.tool.split(" ");
  const packageRefs = packages.map((pkg) => debianPurl(pkg, os));
  return {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${uuidOfDigest(image.digest)}`,
    version: 1,
    metadata: {
      timestamp: image.created,
      tools: { components: [{ type: "application", name: tool, version }] },
      component: {
        "bom-ref": IMAGE_REF,
        type: "operating-system",
        name: image.name,
        version: image.digest,
        hashes: [{ alg: "SHA-256", content: hexOf(image.digest) }],
        properties: [
          { name: "bakehouse:os", value: os.name },
          { name: "bakehouse:files", value: String(files.length) },
          { name: "bakehouse:files:unowned", value: String(unowned.length) },
        ],
      },
    },
    components: [
      ...packages.map((pkg, at) => ({
        ...packageComponent(pkg, packageRefs[at] ?? ""),
        ...(pkg.files.length === 0
          ? {}
          : { evidence: { occurrences: pkg.files.map((index) => ({ location: files[index]?.path ?? "" })) } }),
      })),
      ...unowned.flatMap((index) => {
        const file = files[index];
        return file === undefined
          ? []
          : [{ "bom-ref": `file:${file.path}`, type: "file", name: file.path, hashes: [{ alg: "SHA-256", content: file.sha256 }] }];
      }),
    ],
    dependencies: [{ ref: IMAGE_REF, dependsOn: packageRefs }],
  };
}

const IMAGE_REF = "image";

const packageComponent = (pkg: InventoryPackage, purl: string): Record<string, unknown> => ({
  "bom-ref": purl,
  type: "library",
  ...(pkg.maintainer === "" ? {} : { supplier: { name: pkg.maintainer } }),
  name: pkg.name,
  version: pkg.version,
  ...(pkg.summary === "" ? {} : { description: pkg.summary }),
  ...(pkg.licences.length === 0 ? {} : { licenses: licencesOf(pkg.licences) }),
  purl,
  properties: [
    { name: "bakehouse:source", value: pkg.source },
    { name: "bakehouse:source:version", value: pkg.sourceVersion },
  ],
});

/** Either a list of licences, or one expression (CycloneDX's `licenseChoice`). */
const licencesOf = (licences: readonly string[]): readonly Record<string, unknown>[] =>
  licences.some((text) => text.includes(" "))
    ? [{ expression: licences.map((text) => (text.includes(" ") && licences.length > 1 ? `(${text})` : text)).join(" AND ") }]
    : licences.map((text) => ({
        license: text.startsWith("LicenseRef-") ? { name: text.slice("LicenseRef-".length) } : { id: text },
      }));
