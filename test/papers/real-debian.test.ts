import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Provenance } from "../../src/core/papers/provenance.ts";
import { PREDICATES } from "../../src/core/papers/statement.ts";
import { imageSbom } from "../../src/engine/image-sbom.ts";
import { writePapersOfLineage } from "../../src/engine/write-papers.ts";
import { createBakehouse, type Bakehouse } from "../../src/presets/create-bakehouse.ts";
import { openImages, type ImageParts } from "../../src/presets/images.ts";
import { verifyStoredImage } from "../../src/presets/verify-images.ts";
import { copyTree, debianStore } from "../shared-store.ts";
import { expectCyclonedx, expectSpdx } from "./sbom-shape.ts";

type Item = Readonly<Record<string, unknown>>;

/** Against dpkg's own answers. */
describe("papers of a real Debian", () => {
  let folder: string;
  let bakehouse: Bakehouse;
  let images: ImageParts;
  let document: Item;
  const dpkg = (...words: readonly string[]): readonly string[] =>
    execFileSync("dpkg-query", ["--admindir", join(tree(), "var/lib/dpkg"), ...words], { encoding: "utf8" })
      .trim()
      .split("\n");
  const tree = (): string => images.store.diffs.folder(images.store.images.config(imageOf("real/foundation")).rootfs.diff_ids[0]!);
  const imageOf = (name: string): `sha256:${string}` =>
    images.store.images.entries().find(({ annotations }) => annotations["org.opencontainers.image.ref.name"] === name)!.digest;

  beforeAll(async () => {
    const debian = await debianStore();
    folder = mkdtempSync(join(tmpdir(), "bakehouse-papers-debian-"));
    copyTree(debian.store, join(folder, "store"));
    copyTree(debian.recipe, join(folder, "recipe"));
    bakehouse = createBakehouse({ store: join(folder, "store"), env: {} });
    await bakehouse.bake(bakehouse.load(join(folder, "recipe")));
    images = openImages({ store: join(folder, "store"), env: {} });
    document = await imageSbom(await images.paperParts(), "real/foundation", { format: "spdx" });
  });
  afterAll(async () => {
    await images.close();
    await bakehouse.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("name the packages that dpkg knows, with their sources", () => {
    expectSpdx(document);
    const packages = (document["packages"] as readonly Item[])
      .slice(1)
      .map(({ name, versionInfo, sourceInfo }) => `${String(name)} ${String(versionInfo)} ${String(sourceInfo)}`);
    expect([...packages].sort()).toEqual(
      [...dpkg("-W", "-f", "${Package} ${Version} built from source package ${source:Package} ${source:Version}\n")].sort(),
    );
  });

  it("give each file to the package that dpkg gives it to", () => {
    const names = new Map(
      (document["files"] as readonly Item[]).map(({ SPDXID, fileName }) => [SPDXID as string, (fileName as string).slice(1)]),
    );
    for (const pkg of ["libc6", "dpkg", "bash", "base-files"]) {
      const item = (document["packages"] as readonly Item[]).find(({ name }) => name === pkg);
      const owned = new Set((item?.["hasFiles"] as readonly string[]).map((id) => names.get(id) ?? ""));
      // dpkg names places as packages have them, before the links of a merged /usr
      const listed = dpkg("-L", pkg).map((path) => (owned.has(`/usr${path}`) ? `/usr${path}` : path));
      expect(listed.filter((path) => owned.has(path)).sort(), pkg).toEqual(
        [...owned].filter((path) => !path.startsWith("/var/lib/dpkg/info/")).sort(),
      );
      expect(owned.size).toBeGreaterThan(4);
    }
  });

  it("are a CycloneDX document, too", async () => {
    expectCyclonedx(await imageSbom(await images.paperParts(), "real/foundation", { format: "cyclonedx" }));
  });

  it("say what each package was, by the SHA-256 of the lock, and verify down to the foundation", async () => {
    await writePapersOfLineage(await bakehouse.parts.paperParts(), "real/base");
    const papers = await images.papers();
    const [paper] = papers.of(imageOf("real/base"), PREDICATES.provenance);
    const { trust, statement } = papers.read<Provenance>(paper!);
    expect(trust).toBe("signed");
    const dependencies = statement!.predicate.buildDefinition.resolvedDependencies;
    const { parseLock } = await import("../../src/core/lock/lock-file.ts");
    const { readFileSync } = await import("node:fs");
    const { createHash } = await import("node:crypto");
    const lock = parseLock(readFileSync(join(folder, "recipe/bakehouse.lock"), "utf8"), {
      file: "bakehouse.lock",
      hash: (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`,
    });
    const locked = Object.values(lock.steps).flatMap((step) =>
      (step.packages ?? []).map(({ name, sha256 }) => `${name} ${sha256.slice(7)}`),
    );
    const named = dependencies
      .filter(({ annotations }) => annotations?.["role"] === "package")
      .map(({ name, digest }) => `${name ?? ""} ${digest.sha256}`);
    expect([...named].sort()).toEqual([...locked].sort());
    const verification = await verifyStoredImage(images, "real/base", undefined, {
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    expect(verification.images[0]?.chain.map(({ name, problems }) => [name, problems])).toEqual([
      ["real/base", []],
      ["real/foundation", []],
    ]);
  });
});
