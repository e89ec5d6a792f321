import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixtureStore, put, type FixtureStore } from "../../../test/image-store.ts";
import type { ImageDigest } from "../../core/digest.ts";
import { PREDICATES, statementOf } from "../../core/papers/statement.ts";
import type { Keys } from "../../ports/keys.ts";
import type { Papers } from "../../ports/papers.ts";
import { localKeys } from "../local-keys/index.ts";
import { openLocalStore } from "../local-store/local-store.ts";
import { localPapers } from "./local-papers.ts";

describe("papers of a store", () => {
  let fixture: FixtureStore;
  let image: ImageDigest;
  let keys: Keys;
  let papers: Papers;
  let seconds = 0;
  const clock = { now: () => new Date(1_700_000_000_000 + 1000 * seconds++), elapsedMs: () => performance.now() };
  const subject = (): { readonly name: string; readonly digest: ImageDigest } => ({ name: "shop/release", digest: image });
  beforeEach(async () => {
    fixture = fixtureStore();
    image = await fixture.bake({ name: "shop/release", steps: [{ address: "release/copy", change: (at) => put(at, { "etc/app": "1" }) }] });
    keys = localKeys({ store: fixture.store, clock, owner: "tester@host" });
    papers = localPapers({ store: fixture.store, keys, clock });
  });
  afterEach(() => fixture.remove());

  it("are signed, attached and read back, the newest first", async () => {
    const first = await papers.attach(subject(), PREDICATES.checks, { verdict: "failed" });
    const second = await papers.attach(subject(), PREDICATES.checks, { verdict: "passed" }, { "dev.example.by": "me" });
    await papers.attach(subject(), PREDICATES.provenance, {});
    expect(papers.of(image, PREDICATES.checks).map(({ digest }) => digest)).toEqual([second.digest, first.digest]);
    expect(papers.of(image)).toHaveLength(3);
    const read = papers.read(second);
    expect(read).toMatchObject({ trust: "signed", keyId: keys.list()[0]?.id, paper: { annotations: { "dev.example.by": "me" } } });
    expect(read.statement).toEqual(statementOf(subject(), PREDICATES.checks, { verdict: "passed" }));
  });

  it("are one for the same statement", async () => {
    const first = await papers.attach(subject(), PREDICATES.checks, { a: 1, b: 2 });
    expect(await papers.attach(subject(), PREDICATES.checks, { b: 2, a: 1 })).toEqual(first);
    expect(papers.of(image)).toEqual([first]);
  });

  it("do not count as images, and keep index.json at one entry for each image", async () => {
    for (const n of [1, 2, 3]) await papers.attach(subject(), PREDICATES.checks, { n });
    expect(fixture.store.images.entries().map(({ digest }) => digest)).toEqual([image]);
    const index = JSON.parse(readFileSync(fixture.store.path("oci", "index.json"), "utf8")) as { readonly manifests: readonly unknown[] };
    expect(index.manifests).toHaveLength(2);
    expect([...fixture.store.referrers.indexes().keys()]).toEqual([image]);
  });

  it("lose nothing when two write at once", async () => {
    const other = openLocalStore(fixture.store.root);
    const theirs = localPapers({ store: other, keys: localKeys({ store: other, clock, owner: "x" }), clock });
    await Promise.all(Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? papers : theirs).attach(subject(), PREDICATES.checks, { n })));
    other.close();
    expect(papers.of(image)).toHaveLength(12);
    expect(papers.of(image).map((paper) => papers.read(paper).trust)).toEqual(Array.from({ length: 12 }, () => "signed"));
  });

  it("on a full disk are refused, and nothing of them is listed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "bakehouse-papers-full-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]);
    try {
      execFileSync("cp", ["-a", "-T", fixture.store.root, join(folder, "store")]);
      const full = openLocalStore(join(folder, "store"));
      const there = localPapers({ store: full, keys: localKeys({ store: full, clock, owner: "x" }), clock });
      const before = await there.attach(subject(), PREDICATES.checks, { n: 1 });
      await expect(there.attach(subject(), PREDICATES.checks, { n: "x".repeat(2_000_000) })).rejects.toMatchObject({ code: "STORE_FULL" });
      expect(there.of(image)).toEqual([before]);
      full.close();
    } finally {
      execFileSync("umount", [folder]);
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("are refused for an image that is not here", async () => {
    await expect(papers.attach({ name: "x", digest: `sha256:${"0".repeat(64)}` }, PREDICATES.checks, {})).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
    });
  });

  describe("do not count when", () => {
    const changeBlob = (digest: string, change: (text: string) => string): void => {
      const path = fixture.store.blobs.path(digest as ImageDigest);
      writeFileSync(path, change(readFileSync(path, "utf8")));
    };

    it("one byte of the statement was changed", async () => {
      const paper = await papers.attach(subject(), PREDICATES.checks, { verdict: "failed" });
      changeBlob(paper.blob, (text) => {
        const envelope = JSON.parse(text) as { payload: string };
        const payload = Buffer.from(envelope.payload, "base64").toString().replace("failed", "passed");
        return JSON.stringify({ ...envelope, payload: Buffer.from(payload).toString("base64") });
      });
      expect(papers.read(paper)).toMatchObject({ trust: "bad-signature" });
    });

    it("the envelope is cut off, empty or gone", async () => {
      const paper = await papers.attach(subject(), PREDICATES.checks, {});
      changeBlob(paper.blob, (text) => text.slice(0, text.length / 2));
      expect(papers.read(paper)).toEqual({ paper, trust: "bad-signature", keyId: "" });
      changeBlob(paper.blob, () => "");
      expect(papers.read(paper).trust).toBe("bad-signature");
      rmSync(fixture.store.blobs.path(paper.blob));
      expect(papers.read(paper).trust).toBe("bad-signature");
    });

    it("an unknown key signed them", async () => {
      const stranger = fixtureStore();
      const strange = localPapers({
        store: fixture.store,
        keys: localKeys({ store: stranger.store, clock, owner: "stranger" }),
        clock,
      });
      const paper = await strange.attach(subject(), PREDICATES.checks, { verdict: "passed" });
      stranger.remove();
      expect(papers.read(paper).trust).toBe("unknown-key");
    });

    it("they speak of another image", async () => {
      const other = await fixture.bake({
        name: "shop/other",
        steps: [{ address: "other/copy", change: (at) => put(at, { "etc/app": "2" }) }],
      });
      const theirs = await papers.attach({ name: "shop/other", digest: other }, PREDICATES.checks, { verdict: "passed" });
      const manifest = fixture.store.blobs.readJson(theirs.digest) as { readonly subject: object };
      const moved = fixture.store.blobs.putJson({ ...manifest, subject: { ...manifest.subject, digest: image } });
      await fixture.store.referrers.add(image, [
        { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: moved.digest, size: moved.sizeBytes },
      ]);
      const [paper] = papers.of(image);
      expect(paper === undefined ? undefined : papers.read(paper).trust).toBe("wrong-subject");
    });

    it("their manifest is damaged", async () => {
      const paper = await papers.attach(subject(), PREDICATES.checks, {});
      changeBlob(paper.digest, () => "{");
      expect(papers.of(image)).toEqual([]);
    });
  });

  it("are read by other programs as the OCI layout that they lie in", async () => {
    await papers.attach(subject(), PREDICATES.checks, { verdict: "passed" });
    const layout = fixture.store.path("oci");
    const out = execFileSync("skopeo", ["inspect", `oci:${layout}:shop/release`], { encoding: "utf8" });
    expect(JSON.parse(out)).toMatchObject({ Digest: image });
    const raw = execFileSync("skopeo", ["inspect", "--raw", `oci:${layout}:sha256-${image.slice(7)}`], { encoding: "utf8" });
    expect(JSON.parse(raw)).toMatchObject({ manifests: [{ artifactType: "application/vnd.in-toto+json" }] });
  });
});
