import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ANNOTATIONS, MEDIA_TYPES, type IndexEntry } from "../../core/image/oci.ts";
import type { Sha256 } from "../../core/digest.ts";
import type { StepRecord, Store } from "../../ports/store.ts";
import { openLocalStore } from "./local-store.ts";
import { startTimeOf } from "./owners.ts";

const digest = (letter: string): Sha256 => `sha256:${letter.repeat(64)}`;
const entry = (letter: string, name: string): IndexEntry => ({
  mediaType: MEDIA_TYPES.manifest,
  digest: digest(letter),
  size: 1,
  annotations: { [ANNOTATIONS.name]: name },
});
const record: StepRecord = {
  key: digest("a"),
  address: "base/apt",
  diffId: digest("b"),
  sizeBytes: 10,
  entries: 1,
  inputs: {},
  bakedAt: "2026-01-01T00:00:00Z",
  durationMs: 5,
  tool: "test",
};

describe("local store", () => {
  let folder: string;
  let store: Store;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "bakehouse-store-"));
    store = openLocalStore(join(folder, "store"));
  });
  afterEach(() => {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is an OCI image layout", () => {
    expect(JSON.parse(readFileSync(store.path("oci", "oci-layout"), "utf8"))).toEqual({ imageLayoutVersion: "1.0.0" });
    expect(JSON.parse(readFileSync(store.path("oci", "index.json"), "utf8"))).toMatchObject({ schemaVersion: 2, manifests: [] });
  });

  it("keeps what is unpacked from other users of the host", () => {
    for (const name of ["diffs", "work"]) expect(statSync(store.path(name)).mode & 0o777, name).toBe(0o700);
  });

  it("gives back what was saved, and nothing for a record that is damaged", () => {
    store.steps.save(record);
    expect(store.steps.find(record.key)).toEqual(record);
    expect(store.steps.all()).toEqual([record]);
    writeFileSync(store.path("steps", `${"a".repeat(64)}.json`), '{"key":');
    expect(store.steps.find(record.key)).toBeUndefined();
  });

  it("moves a name to the newest image and keeps the older one without it", async () => {
    await store.images.put([entry("1", "shop/release")]);
    await store.images.put([entry("2", "shop/release")]);
    expect(
      store.images
        .entries()
        .map(({ digest: found, annotations }) => [found, annotations[ANNOTATIONS.name], annotations[ANNOTATIONS.bakedName]]),
    ).toEqual([
      [digest("1"), undefined, "shop/release"],
      [digest("2"), "shop/release", undefined],
    ]);
  });

  it("loses no entry when many write the index at once", async () => {
    const other = openLocalStore(store.root);
    const letters = [..."0123456789abcdef"];
    await Promise.all(letters.map((letter, index) => (index % 2 === 0 ? store : other).images.put([entry(letter, `shop/${letter}`)])));
    other.close();
    expect(
      store.images
        .entries()
        .map(({ digest: found }) => found)
        .sort(),
    ).toEqual(letters.map(digest).sort());
  });

  it("keeps the first of two equal diffs", () => {
    for (const name of ["one", "two"]) {
      mkdirSync(store.path("work", name), { recursive: true });
      writeFileSync(store.path("work", name, "file"), name);
      store.diffs.adopt(store.path("work", name), digest("c"));
    }
    expect(readFileSync(join(store.diffs.folder(digest("c")), "file"), "utf8")).toBe("one");
    expect(existsSync(store.path("work", "two"))).toBe(false);
  });

  it("refuses a newer format, a folder that is something else, and says when it cannot write", () => {
    const newer = join(folder, "newer");
    mkdirSync(newer);
    writeFileSync(join(newer, "format"), "2\n");
    expect(() => openLocalStore(newer)).toThrow(expect.objectContaining({ code: "STORE_TOO_NEW" }));
    const strange = join(folder, "strange");
    mkdirSync(strange);
    writeFileSync(join(strange, "thesis.tex"), "");
    expect(() => openLocalStore(strange)).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
    expect(() => openLocalStore("/proc/bakehouse")).toThrow(expect.objectContaining({ code: "STORE_READ_ONLY" }));
  });

  it("says that the index is damaged", () => {
    writeFileSync(store.path("oci", "index.json"), "{");
    expect(() => store.images.entries()).toThrow(
      expect.objectContaining({ code: "STORE_DAMAGED", help: expect.objectContaining({ hint: "bakehouse verify --repair" }) }),
    );
  });

  describe("work folders", () => {
    it("of this process are left alone, those of dead ones go, with what lies outside", async () => {
      const tidied: string[] = [];
      const own = openLocalStore(store.root, { onTidy: (path) => tidied.push(path) });
      own.workFolder("mine");
      const dead = await endedProcess();
      mkdirSync(store.path("work", "theirs"));
      writeFileSync(
        store.path("work", "theirs", "owner.json"),
        JSON.stringify({ ...dead, bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(), host: "here", what: "" }),
      );
      expect(own.tidy()).toEqual([{ kind: "work folder", id: "theirs" }]);
      expect(tidied).toEqual([store.path("work", "theirs")]);
      expect(existsSync(store.path("work", "mine"))).toBe(true);
      own.close();
    });

    it("stay when they are kept for a look", () => {
      store.workFolder("failed");
      store.keepWorkFolder("failed", { address: "base/run" });
      writeFileSync(
        store.path("work", "failed", "owner.json"),
        JSON.stringify({ pid: 1, startTime: -1, bootId: "another", host: "", what: "" }),
      );
      expect(store.tidy()).toEqual([]);
      expect(store.kept()).toEqual([{ bake: "failed", folder: store.path("work", "failed") }]);
    });
  });

  describe("locks", () => {
    it("let one in at a time", async () => {
      let inside = 0;
      let most = 0;
      const work = async (): Promise<void> => {
        inside += 1;
        most = Math.max(most, inside);
        await new Promise((resolve) => setTimeout(resolve, 2));
        inside -= 1;
      };
      await Promise.all(Array.from({ length: 8 }, () => store.withLock("one", {}, work)));
      expect(most).toBe(1);
    });

    it("are taken over from a dead owner, and waited for while it lives", async () => {
      const holder = spawn(
        process.execPath,
        ["--input-type=module", "-e", HOLD, new URL("./local-store.ts", import.meta.url).pathname, store.root],
        { stdio: ["ignore", "pipe", "inherit"] },
      );
      await new Promise((resolve) => holder.stdout.once("data", resolve));
      const waits: number[] = [];
      const taken = store.withLock("one", { onWait: (owner) => waits.push(owner.pid) }, async () => "mine");
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(waits).toEqual([holder.pid]);
      holder.kill("SIGKILL");
      expect(await taken).toBe("mine");
    });

    it("stop waiting when asked to", async () => {
      const stop = new AbortController();
      await store.withLock("one", {}, async () => {
        const waiting = store.withLock("one", { signal: stop.signal, onWait: () => stop.abort() }, async () => "never");
        await expect(waiting).rejects.toThrow();
      });
    });

    it("survive a damaged lock file", async () => {
      store.close();
      const again = openLocalStore(store.root);
      writeFileSync(store.path("locks.db"), "not a database at all, by a long way".repeat(200));
      expect(await again.withLock("one", {}, async () => "mine")).toBe("mine");
      again.close();
    });
  });

  it("can be read when it cannot be written", () => {
    store.steps.save(record);
    chmodSync(store.root, 0o555);
    const reader = openLocalStore(store.root); // root may write all the same, so `readOnly` itself is shown on a read-only mount elsewhere
    expect(reader.steps.find(record.key)).toEqual(record);
    reader.close();
    chmodSync(store.root, 0o755);
  });
});

const HOLD = `const { openLocalStore } = await import(process.argv[1]);
await openLocalStore(process.argv[2]).withLock("one", {}, () => new Promise(() => { process.stdout.write("held"); setInterval(() => {}, 1000); }));`;

async function endedProcess(): Promise<{ readonly pid: number; readonly startTime: number }> {
  const child = spawn("sleep", ["60"]);
  const pid = child.pid ?? 0;
  const startTime = startTimeOf(pid) ?? 0;
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  return { pid, startTime };
}
