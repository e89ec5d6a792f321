import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Sha256 } from "../../core/digest.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import { sendFile, serve } from "./flaky-server.testing.ts";
import { createTransfer, localPackageStore, packageDownloader, packageSet } from "./index.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-packages-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const digestOf = (content: Buffer): Sha256 => `sha256:${createHash("sha256").update(content).digest("hex")}`;
const bytesOf = (name: string): Buffer => Buffer.alloc(20_000 + name.length, name);
const locked = (name: string, version = "1.0-1"): LockedPackage => ({
  name,
  version,
  architecture: "amd64",
  sha256: digestOf(bytesOf(name)),
  sizeBytes: bytesOf(name).length,
  path: `pool/${name}.deb`,
  repository: "debian",
});
const store = (): ReturnType<typeof localPackageStore> => localPackageStore(join(folder, "packages"));
const transfer = createTransfer({ environment: {}, attempts: 2, backoffMs: 1, silenceMs: 2000 });
const signal = AbortSignal.timeout(60_000);
const failure = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

test("takes in a file under its digest, refuses another, leaves the source alone", async () => {
  const source = join(folder, "a.deb");
  writeFileSync(source, bytesOf("a"));
  const { sha256 } = locked("a");
  expect(store().find(sha256)).toBeUndefined();
  const path = await store().add(source, sha256);
  expect(readFileSync(path).equals(bytesOf("a"))).toBe(true);
  expect(store().find(sha256)).toBe(path);
  expect(await failure(store().add(source, locked("b").sha256))).toMatchObject({ code: "DIGEST_MISMATCH" });
  expect(readdirSync(join(folder, "packages"))).toEqual([sha256.slice(7, 9)]);
});

test("downloads what is missing, several at a time, with progress; parts of dead processes go", async () => {
  const names = Array.from({ length: 20 }, (_, index) => `p${index}`);
  let now = 0;
  let most = 0;
  const server = await serve((request, response) => {
    most = Math.max(most, ++now);
    response.on("finish", () => now--);
    setTimeout(() => sendFile(request, response, bytesOf((request.url ?? "").slice(1))), 5);
  });
  try {
    const stored = store();
    const dead = stored.part().replace(/-\d+-\d+-/, "-999999999-1-");
    writeFileSync(dead, "half");
    const downloads = names.map((name) => ({ package: locked(name), urls: [`${server.url}/${name}`] }));
    const progress: [number, number][] = [];
    const fetcher = packageDownloader(stored, transfer);
    await fetcher.fetch([...downloads.slice(0, 3), ...downloads.slice(0, 2)], { signal });
    expect(server.requests).toHaveLength(3);
    await fetcher.fetch(downloads, { signal, onProgress: (done, total) => progress.push([done, total]) });
    expect(server.requests).toHaveLength(20);
    const total = names.slice(3).reduce((sum, name) => sum + bytesOf(name).length, 0);
    expect(progress.at(-1)).toEqual([total, total]);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(6);
    expect(readdirSync(join(folder, "packages")).filter((name) => name.startsWith(".part"))).toEqual([]);
  } finally {
    await server.close();
  }
});

test("two downloaders of one store bring the same packages", async () => {
  const server = await serve((request, response) => sendFile(request, response, bytesOf((request.url ?? "").slice(1))));
  try {
    const downloads = ["x", "y", "z"].map((name) => ({ package: locked(name), urls: [`${server.url}/${name}`] }));
    await Promise.all([0, 1].map(() => packageDownloader(store(), transfer).fetch(downloads, { signal })));
    for (const { package: item } of downloads) expect(store().find(item.sha256)).toBeDefined();
  } finally {
    await server.close();
  }
});

test("a failure keeps what came in and says how much that is; what mirrors forgot is named", async () => {
  const server = await serve((request, response) => {
    const name = (request.url ?? "").slice(1);
    if (name === "broken") response.writeHead(500).end();
    else if (name === "gone") response.writeHead(404).end();
    else sendFile(request, response, bytesOf(name));
  });
  try {
    const of = (...names: readonly string[]): { package: LockedPackage; urls: string[] }[] =>
      names.map((name) => ({ package: locked(name), urls: [`${server.url}/${name}`] }));
    const fetcher = packageDownloader(store(), transfer);
    await fetcher.fetch(of("good"), { signal });
    const broken = await failure(fetcher.fetch(of("good", "broken"), { signal }));
    expect(broken).toMatchObject({ code: "MIRROR_UNAVAILABLE" });
    expect((broken as Error).message).toMatch(/broken 1\.0-1 .*answers 500.*tried 2 times.*bytes already in the store: 20004 of 40010/);
    const gone = await failure(fetcher.fetch(of("gone", "other"), { signal }));
    expect(gone).toMatchObject({ code: "MIRROR_UNAVAILABLE", help: { details: { missing: ["gone 1.0-1"] } } });
    expect(store().find(locked("other").sha256)).toBeDefined();
  } finally {
    await server.close();
  }
});

test("a package set is a folder of hard links named as apt names them", async () => {
  const items = [locked("b", "1:2.0-1"), locked("a")];
  const sources = items.map((item) => {
    writeFileSync(join(folder, item.name), bytesOf(item.name));
    return { package: item, urls: [pathToFileURL(join(folder, item.name)).href] };
  });
  expect(() => packageSet(store(), items, join(folder, "work"))).toThrow(/lacks 2 of 2 packages: b 1:2\.0-1, a 1\.0-1/);
  await packageDownloader(store(), transfer).fetch(sources, { signal });
  const set = packageSet(store(), items, join(folder, "work"));
  expect(set.files.map(({ name }) => name)).toEqual(["b", "a"]);
  expect(readdirSync(set.folder()).sort()).toEqual(["a_1.0-1_amd64.deb", "b_1%3a2.0-1_amd64.deb"]);
  expect(set.folder()).toBe(set.folder());
  expect(statSync(join(set.folder(), "a_1.0-1_amd64.deb")).ino).toBe(statSync(set.files[1]?.hostPath ?? "").ino);
});
