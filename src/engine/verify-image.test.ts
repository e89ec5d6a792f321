import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixtureStore, put, type FixtureStore } from "../../test/image-store.ts";
import { builtCli } from "../../test/shared-store.ts";
import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { MEDIA_TYPES, type ImageManifest, type IndexEntry } from "../core/image/oci.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import type { Paper } from "../ports/papers.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { trustFiles, verifyLayout, verifyStoredImage } from "../presets/verify-images.ts";
import { exportImage } from "./export-image.ts";
import type { ImageVerification, VerifyImageOptions } from "./verify-image.ts";
import { writePapersOfLineage } from "./write-papers.ts";

let fixture: FixtureStore;
let images: ImageParts;
let scratch: string;
let sound: string;
let publicKey: string;
let foundation: ImageDigest, base: ImageDigest, release: ImageDigest;
let evidence: Paper;

const signal = new AbortController().signal;
const options: VerifyImageOptions = { signal, onProgress: () => undefined };

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-verify-"));
  fixture = fixtureStore();
  foundation = await fixture.bake({
    name: "shop/foundation",
    steps: [{ address: "foundation/debian", change: (at) => put(at, { "etc/motd": "hello" }) }],
  });
  base = await fixture.bake({
    name: "shop/base",
    parent: foundation,
    steps: [{ address: "base/copy", change: (at) => put(at, { "etc/base": "1" }) }],
  });
  release = await fixture.bake({
    name: "shop/release",
    parent: base,
    steps: [{ address: "release/copy", change: (at) => put(at, { "srv/app": 5000 }) }],
  });
  images = openImages({ store: fixture.store.root, env: {} });
  await writePapersOfLineage(await images.paperParts(), "shop/release");
  evidence = await (await images.papers()).attach({ name: "shop/release", digest: release }, PREDICATES.checks, { verdict: "passed" });
  const keys = await images.keys();
  publicKey = join(scratch, "key.pub.pem");
  writeFileSync(publicKey, keys.publicKey(keys.list()[0]!.id));
  sound = join(scratch, "sound");
  await exportImage(await images.exporting(), "shop/release", {
    format: "oci",
    folder: scratch,
    output: sound,
    replace: false,
    volumeOnly: false,
    signal,
    onProgress: () => undefined,
  });
});
afterAll(async () => {
  await images.close();
  fixture.remove();
  rmSync(scratch, { recursive: true, force: true });
});

let count = 0;
const copyOfLayout = (): string => {
  const copy = join(scratch, `copy-${count++}`);
  cpSync(sound, copy, { recursive: true });
  return copy;
};
const blobOf = (layout: string, digest: Sha256): string => join(layout, "blobs/sha256", digest.slice(7));
const verified = (layout: string, key = publicKey): Promise<ImageVerification> =>
  verifyLayout(layout, "layout", trustFiles([key]), options);
const problemsOf = ({ images: all }: ImageVerification): readonly string[] =>
  all.flatMap(({ chain }) => chain.flatMap(({ name, problems }) => problems.map((problem) => `${name}: ${problem}`)));
const layerOf = (image: ImageDigest): Sha256 => fixture.diffsOf(image).at(-1)!;
const jsonOf = <T>(layout: string, digest: Sha256): T => JSON.parse(readFileSync(blobOf(layout, digest), "utf8")) as T;

/** Puts a manifest of our own into a layout and lists it as attached to an image. */
function attachTo(layout: string, image: ImageDigest, manifest: unknown): void {
  const putBlob = (value: unknown): { readonly digest: Sha256; readonly size: number } => {
    const { digest, sizeBytes } = fixture.store.blobs.putJson(value);
    cpSync(fixture.store.blobs.path(digest), blobOf(layout, digest));
    return { digest, size: sizeBytes };
  };
  const file = join(layout, "index.json");
  const index = JSON.parse(readFileSync(file, "utf8")) as { manifests: IndexEntry[] };
  const at = index.manifests.findIndex(
    ({ annotations }) => annotations["org.opencontainers.image.ref.name"] === `sha256-${image.slice(7)}`,
  );
  const list = jsonOf<{ readonly manifests: readonly unknown[] }>(layout, index.manifests[at]!.digest);
  const added = putBlob({ ...list, manifests: [{ mediaType: MEDIA_TYPES.manifest, ...putBlob(manifest) }, ...list.manifests] });
  index.manifests[at] = { ...index.manifests[at]!, ...added };
  writeFileSync(file, JSON.stringify(index));
}

describe("verifying an image", () => {
  it("of a layout needs the layout and a public key, and follows the chain to the foundation", async () => {
    const result = await verified(sound);
    expect(problemsOf(result)).toEqual([]);
    expect(result).toMatchObject({ sound: true, images: [{ digest: release, name: "shop/release" }] });
    expect(result.images[0]?.chain.map(({ digest, papers }) => [digest, papers.filter(({ trust }) => trust === "signed").length])).toEqual([
      [release, 4],
      [base, 3],
      [foundation, 3],
    ]);
  });

  it.each(["", ".gz"])("of a tar of a layout is the same (.tar%s)", async (ending) => {
    const tar = join(scratch, `sound.tar${ending}`);
    spawnSync("tar", ["--auto-compress", "-cf", tar, "-C", sound, "oci-layout", "index.json", "blobs"]);
    expect(await verified(tar)).toMatchObject({ sound: true, images: [{ digest: release, chain: [{}, {}, {}] }] });
    const layout = copyOfLayout();
    truncateSync(blobOf(layout, layerOf(base)), 10);
    spawnSync("tar", ["--auto-compress", "-cf", tar, "-C", layout, "oci-layout", "index.json", "blobs"]);
    expect(problemsOf(await verified(tar))).toContainEqual(expect.stringMatching(/layer 2 .* is changed/));
  });

  it("of the store trusts the store's keys", async () => {
    expect(await verifyStoredImage(images, "shop", undefined, options)).toMatchObject({ sound: true });
  });

  it("of a volume goes through its root image", async () => {
    await fixture.bakeVolume({ name: "site/volume", root: base, path: "/srv/site", change: (at) => put(at, { "index.html": "hi" }) });
    expect(problemsOf(await verifyStoredImage(images, "site/volume", undefined, options))).toEqual([
      "site/volume: no trusted key signed anything about it",
    ]);
    await writePapersOfLineage(await images.paperParts(), "site/volume");
    const result = await verifyStoredImage(images, "site/volume", undefined, options);
    expect(result.sound).toBe(true);
    expect(result.images[0]?.chain.map(({ kind }) => kind)).toEqual(["volume", "image", "image"]);
  });

  it("names an unknown key", async () => {
    const other = join(scratch, "other.pub.pem");
    spawnSync("sh", ["-c", `openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out ${other}`]);
    const problems = problemsOf(await verified(sound, other));
    expect(problems).toContain("shop/release: no trusted key signed anything about it");
    expect(problems).toContainEqual(
      expect.stringMatching(/^shop\/release: the evidence of checks is signed by a key that is not trusted here/),
    );
  });

  it.each<readonly [string, () => Sha256, RegExp]>([
    ["a layer", () => layerOf(release), /^shop\/release: layer 3 \([0-9a-f]{12}\) is changed/],
    ["a layer of the foundation", () => layerOf(foundation), /^shop\/foundation: layer 1 \([0-9a-f]{12}\) is changed/],
    ["the manifest", () => release, /: the image [0-9a-f]{12} is changed/],
    [
      "the configuration",
      () => fixture.store.images.manifest(release).config.digest,
      /^shop\/release: its configuration [0-9a-f]{12} is changed/,
    ],
    ["a paper's envelope", () => evidence.blob, /^shop\/release: the evidence of checks \([0-9a-f]{12}\) is changed/],
    ["a paper's manifest", () => evidence.digest, /^shop\/release: a paper [0-9a-f]{12} is changed/],
  ])("finds one byte changed in %s", async (_what, digest, problem) => {
    const layout = copyOfLayout();
    const file = blobOf(layout, digest());
    const bytes = readFileSync(file);
    const at = Math.floor(bytes.length / 2);
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(file, bytes);
    const result = await verified(layout);
    expect(result.sound).toBe(false);
    expect(problemsOf(result)).toContainEqual(expect.stringMatching(problem));
  });

  it("finds a truncated envelope", async () => {
    const layout = copyOfLayout();
    truncateSync(blobOf(layout, evidence.blob), 100);
    expect(problemsOf(await verified(layout))).toEqual([expect.stringMatching(/the evidence of checks .* is changed/)]);
  });

  it("finds an envelope that was changed and named by its new digest", async () => {
    const layout = copyOfLayout();
    const manifest = jsonOf<ImageManifest>(layout, evidence.digest);
    const envelope = jsonOf<{ readonly payload: string }>(layout, evidence.blob);
    const payload = Buffer.from(envelope.payload, "base64").toString().replace("passed", "failed");
    const { digest, sizeBytes } = fixture.store.blobs.putJson({ ...envelope, payload: Buffer.from(payload).toString("base64") });
    cpSync(fixture.store.blobs.path(digest), blobOf(layout, digest));
    attachTo(layout, release, { ...manifest, layers: [{ ...manifest.layers[0], digest, size: sizeBytes }] });
    expect(problemsOf(await verified(layout))).toEqual([
      "shop/release: the evidence of checks is not what its key signed, or cannot be read",
    ]);
  });

  it("finds evidence of another digest", async () => {
    const layout = copyOfLayout();
    const papers = await images.papers();
    const theirs = await papers.attach({ name: "shop/base", digest: base }, PREDICATES.checks, { verdict: "passed" });
    cpSync(fixture.store.blobs.path(theirs.blob), blobOf(layout, theirs.blob));
    const manifest = fixture.store.blobs.readJson(theirs.digest) as ImageManifest;
    attachTo(layout, release, { ...manifest, subject: { ...manifest.subject, digest: release } });
    expect(problemsOf(await verified(layout))).toEqual([
      `shop/release: the evidence of checks speaks of ${base.slice(7, 19)}, not of this image`,
    ]);
  });

  it("names a missing parent and a missing layer", async () => {
    const layout = copyOfLayout();
    rmSync(blobOf(layout, base));
    expect(problemsOf(await verified(layout))).toContain(`shop/base: the parent ${base.slice(7, 19)} is missing`);
    const other = copyOfLayout();
    rmSync(blobOf(other, layerOf(base)));
    expect(problemsOf(await verified(other))).toEqual([
      expect.stringMatching(/^shop\/release: layer 2 .* is missing/),
      expect.stringMatching(/^shop\/base: layer 2 .* is missing/),
    ]);
  });

  it("finds that a parent is not what lies below", async () => {
    const stranger = await fixture.bake({ name: "odd/base", steps: [{ address: "base/copy", change: (at) => put(at, { other: "x" }) }] });
    const liar = await fixture.bake({
      name: "odd/release",
      steps: [{ address: "release/copy", change: (at) => put(at, { app: "y" }) }],
      annotations: { "org.opencontainers.image.base.digest": stranger },
    });
    await writePapersOfLineage(await images.paperParts(), liar);
    expect(problemsOf(await verifyStoredImage(images, liar, undefined, options))).toContain(
      "odd/base: its layers are not the lower ones of the image that was baked onto it",
    );
  });

  it("takes no harm from papers of a retired key once there are new ones", async () => {
    const store = fixtureStore();
    const image = await store.bake({ name: "x/one", steps: [{ address: "one/copy", change: (at) => put(at, { a: "1" }) }] });
    const parts = openImages({ store: store.store.root, env: {} });
    await writePapersOfLineage(await parts.paperParts(), image);
    const keys = await parts.keys();
    await keys.retire(keys.list()[0]!.id);
    expect((await verifyStoredImage(parts, image, undefined, options)).sound).toBe(false);
    await writePapersOfLineage(await parts.paperParts(), image);
    expect((await verifyStoredImage(parts, image, undefined, options)).sound).toBe(true);
    await parts.close();
    store.remove();
  });
});

describe("bakehouse image verify", () => {
  const run = async (
    ...words: readonly string[]
  ): Promise<{ readonly status: number | null; readonly out: string; readonly err: string }> => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [await builtCli(), "--store", join(scratch, "no-store"), "image", "verify", ...words],
      { encoding: "utf8", cwd: scratch },
    );
    return { status, out: stdout, err: stderr };
  };

  it("says what is sound with exit code 0, and what is not with 4, without any store", async () => {
    expect(await run("sound", "--key", "key.pub.pem")).toMatchObject({ status: 0, out: expect.stringContaining("Sound") });
    const layout = copyOfLayout();
    truncateSync(blobOf(layout, layerOf(base)), 10);
    expect(await run(layout, "--key", publicKey)).toMatchObject({ status: 4, out: expect.stringContaining("is changed") });
    expect(await run(layout, "--json", "--key", publicKey)).toMatchObject({ status: 4, out: expect.stringContaining('"sound"') });
  });

  it.each([
    [["sound", "--key", "none.pem"], 2, "Cannot read the key"],
    [["sound", "--key", "key.pub.pem", "--image", "shop/other"], 2, "no image called shop/other"],
    [["nothing"], 2, "There is no store"],
    [["empty.tar", "--key", "key.pub.pem"], 2, "empty.tar"],
  ] as const)("%j is refused", async (words, status, message) => {
    writeFileSync(join(scratch, "empty.tar"), Buffer.alloc(10_240));
    expect(await run(...words)).toMatchObject({ status, err: expect.stringContaining(message) });
  });

  it("says what is wrong with a layout that has no index", async () => {
    const layout = copyOfLayout();
    writeFileSync(join(layout, "index.json"), "{");
    expect(await run(layout, "--key", publicKey)).toMatchObject({ status: 2, err: expect.stringContaining("no sound OCI layout") });
  });
});
