import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { TarEntry } from "../../core/layer/model.ts";
import { encodeHeader } from "../../core/layer/tar-header.ts";
import { paddingOf } from "../../core/layer/tar-numbers.ts";
import { EPOCH, fingerprint, LONG_NAME, makeRichTree, NON_UTF8, shell, temporaryFolder } from "./fixtures.ts";
import { overlayDiffs, readTarEntries, unpackArchive, writeDirectoryTar } from "./index.ts";

const diffs = overlayDiffs();
const file: TarEntry = { path: "", kind: "file", mode: 0o644, uid: 0, gid: 0, sizeBytes: 0, mtimeSeconds: EPOCH };

type Item = Partial<TarEntry> & { readonly path: string; readonly text?: string };

/** Any tar at all, also ones that no program would write. */
function makeTar(target: string, items: readonly Item[], end = true): string {
  const parts = items.flatMap(({ text = "", ...item }) => {
    const content = Buffer.from(text);
    return [encodeHeader({ ...file, ...item, sizeBytes: content.length }), content, Buffer.alloc(paddingOf(content.length))];
  });
  writeFileSync(target, Buffer.concat([...parts, Buffer.alloc(end ? 1024 : 0)]));
  return target;
}

const digestOf = (path: string): `sha256:${string}` => `sha256:${createHash("sha256").update(readFileSync(path)).digest("hex")}`;

const sha = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);

const BAD: readonly (readonly [string, readonly Item[], readonly string[]])[] = [
  ["dots", [{ path: "../escape", text: "x" }, { path: "fine" }, { path: "a/../../b" }], ["../escape", "a/../../b"]],
  ["absolute names", [{ path: "/tmp/bakehouse-escape", text: "x" }], ["/tmp/bakehouse-escape"]],
  [
    "a write through its own symbolic link",
    [
      { path: "out", kind: "symlink", linkTarget: "../.." },
      { path: "out/x", text: "x" },
    ],
    ["out/x"],
  ],
  [
    "a hard link out",
    [
      { path: "h", kind: "hardlink", linkTarget: "../../etc/shadow" },
      { path: "g", kind: "hardlink", linkTarget: "/etc/shadow" },
    ],
    ["h", "g"],
  ],
  ["a hard link to what is not in it", [{ path: "h", kind: "hardlink", linkTarget: "etc/shadow" }], ["h"]],
];

describe("unsafe archives", () => {
  it.each(BAD)("refuses %s, names them all, writes nothing outside", async (_, items, names) => {
    using work = temporaryFolder();
    const tar = makeTar(join(work.path, "bad.tar"), items);
    for (const folder of ["lower", "image"]) mkdirSync(join(work.path, folder));
    for (const attempt of [diffs.unpack(tar, join(work.path, "lower")), unpackArchive(tar, join(work.path, "image"))]) {
      const error = (await attempt.catch((caught: unknown) => caught)) as {
        code: string;
        message: string;
        help: { details: readonly { path: string }[] };
      };
      expect(error.code).toBe("ARCHIVE_UNSAFE");
      expect(error.help.details.map(({ path }) => path)).toEqual(names);
      for (const name of names) expect(error.message).toContain(`  ${name}: `);
    }
    expect(readdirSync(join(work.path, "image"))).toEqual([]);
    expect(readdirSync(work.path).sort()).toEqual(["bad.tar", "image", "lower"]);
  });

  it("refuses devices unless they are allowed", async () => {
    using work = temporaryFolder();
    const tar = makeTar(join(work.path, "dev.tar"), [
      { path: "null", kind: "character-device", device: { major: 1, minor: 3 }, mode: 0o666 },
    ]);
    mkdirSync(join(work.path, "image"));
    await expect(unpackArchive(tar, join(work.path, "image"))).rejects.toMatchObject({ code: "ARCHIVE_UNSAFE" });
    await unpackArchive(tar, join(work.path, "image"), { devices: true });
    expect(statSync(join(work.path, "image/null"))).toMatchObject({ rdev: 0x103 });
  });

  it("does not follow a symbolic link of the image out of the image", async () => {
    using work = temporaryFolder();
    shell(
      "mkdir -p image/real outside; ln -s /real image/abs; ln -s ../../../../../real image/up; ln -s $PWD/outside image/host",
      work.path,
    );
    const tar = makeTar(join(work.path, "a.tar"), [
      { path: "abs/1", text: "1" },
      { path: "up/2", text: "2" },
      { path: "host/3", text: "3" },
    ]);
    await unpackArchive(tar, join(work.path, "image"));
    expect(readdirSync(join(work.path, "image/real")).sort()).toEqual(["1", "2"]);
    expect(readdirSync(join(work.path, "outside"))).toEqual([]);
    expect(readFileSync(join(work.path, "image", work.path, "outside/3"), "utf8")).toBe("3");
  });
});

describe("damaged archives", () => {
  const attempts: readonly (readonly [string, (work: string) => string, RegExp])[] = [
    ["an empty file", (work) => (writeFileSync(join(work, "a"), ""), join(work, "a")), /empty/],
    [
      "garbage",
      (work) => (writeFileSync(join(work, "a"), Buffer.concat([Buffer.from("no tar "), randomBytes(5000)])), join(work, "a")),
      /checksum|octal|2\^53/,
    ],
    ["a zip file", (work) => (writeFileSync(join(work, "a"), "PK\x03\x04abc"), join(work, "a")), /zip file/],
    ["a truncated tar", (work) => makeTar(join(work, "a"), [{ path: "f", text: "x".repeat(600) }], false), /cut off/],
    [
      "a truncated gzip",
      (work) => (shell("head -c 100000 /dev/urandom >f; tar -czf - f | head -c 50000 >a", work), join(work, "a")),
      /cut off: gzip/,
    ],
    [
      "a truncated xz",
      (work) => (shell("head -c 100000 /dev/urandom >f; tar -cJf - f | head -c 50000 >a", work), join(work, "a")),
      /cut off: xz/,
    ],
    [
      "a truncated zstd",
      (work) => (shell("head -c 100000 /dev/urandom >f; tar -c f | zstd -q | head -c 50000 >a", work), join(work, "a")),
      /cut off: zstd/,
    ],
    ["a directory", (work) => work, /not a file/],
  ];

  it.each(attempts)("refuses %s and says so", async (_, make, message) => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "out"));
    mkdirSync(join(work.path, "src"));
    const archive = make(join(work.path, "src"));
    const expected = { code: "ARCHIVE_INVALID", message: expect.stringMatching(message) as string };
    await expect(unpackArchive(archive, join(work.path, "out"))).rejects.toMatchObject(expected);
    expect(readdirSync(join(work.path, "out"))).toEqual([]);
    await expect(diffs.unpack(archive, join(work.path, "out"))).rejects.toMatchObject(expected);
  });

  it("says DIGEST_MISMATCH for other bytes, readable or not", async () => {
    using work = temporaryFolder();
    const tar = makeTar(join(work.path, "a.tar"), [{ path: "f", text: "x" }]);
    const garbled = join(work.path, "b.tar");
    writeFileSync(garbled, readFileSync(tar).fill(7, 0, 20));
    for (const [index, path] of [tar, garbled].entries()) {
      mkdirSync(join(work.path, `out${index}`));
      await expect(diffs.unpack(path, join(work.path, `out${index}`), `sha256:${"0".repeat(64)}`)).rejects.toMatchObject({
        code: "DIGEST_MISMATCH",
      });
    }
    mkdirSync(join(work.path, "out"));
    await expect(diffs.unpack(garbled, join(work.path, "out"), digestOf(garbled))).rejects.toMatchObject({ code: "ARCHIVE_INVALID" });
  });

  it("streams a gzip bomb: 300 MB of zeros in 1 MB do not come into memory", () => {
    using work = temporaryFolder();
    const header = join(work.path, "header");
    writeFileSync(header, encodeHeader({ ...file, path: "zeros", sizeBytes: 300_000_000 }));
    shell("(cat header; head -c 300000000 /dev/zero; head -c 1280 /dev/zero) | gzip -1 >bomb.tar.gz", work.path);
    const script = `
      import { readTarEntries } from ${JSON.stringify(new URL("index.ts", import.meta.url).href)};
      for await (const entry of readTarEntries(process.argv[1])) console.log(entry.path, entry.sizeBytes);
      console.log(process.resourceUsage().maxRSS);`;
    const [entry, rss] = execFileSync(process.execPath, ["--input-type=module", "-e", script, join(work.path, "bomb.tar.gz")])
      .toString()
      .split("\n");
    expect(entry).toBe(`zeros ${300_000_000}`);
    expect(Number(rss)).toBeLessThan(200 * 1024);
  });
});

describe("compressed archives", () => {
  it.each([
    ["gzip", "gzip -c"],
    ["gzip in several members", "split -b 900000 --filter='gzip -c'"],
    ["xz", "xz -c"],
    ["zstd", "zstd -qc"],
    ["zstd in several frames", "split -b 900000 --filter='zstd -qc'"],
  ])("reads %s", async (_, program) => {
    using work = temporaryFolder();
    const tree = join(work.path, "tree");
    makeRichTree(tree);
    const plain = join(work.path, "plain.tar");
    const { diffId } = await diffs.write({
      directory: tree,
      target: plain,
      epochSeconds: EPOCH,
      lowerHasDirectory: () => false,
      signal: new AbortController().signal,
    });
    shell(`cat plain.tar | ${program} >packed`, work.path);
    mkdirSync(join(work.path, "out"));
    expect(await diffs.unpack(join(work.path, "packed"), join(work.path, "out"), diffId)).toMatchObject({
      diffId,
      sizeBytes: statSync(plain).size,
    });
    expect(await fingerprint(join(work.path, "out"))).toEqual(await fingerprint(tree));
  });
});

describe("a tarball into the image", () => {
  it("drops components, sets the owner, makes parents", async () => {
    using work = temporaryFolder();
    shell(
      "mkdir -p src/app-1.0/bin image; echo x >src/app-1.0/bin/run; chmod 750 src/app-1.0/bin/run; ln src/app-1.0/bin/run src/app-1.0/again; ln -s bin/run src/app-1.0/link; tar -C src -czf app.tgz app-1.0",
      work.path,
    );
    await unpackArchive(join(work.path, "app.tgz"), join(work.path, "image"), { into: "/opt/app", strip: 1, owner: { uid: 33, gid: 34 } });
    const lines = (await fingerprint(join(work.path, "image"))).map((line) => line.split(" | ").slice(0, 4).join(" "));
    expect(lines.slice(1)).toEqual([
      "opt 40755 33 34",
      "opt/app 40755 33 34",
      "opt/app/again 100750 33 34",
      "opt/app/bin 40755 33 34",
      "opt/app/bin/run 100750 33 34",
      "opt/app/link 120777 33 34",
    ]);
    expect(statSync(join(work.path, "image/opt/app/again")).nlink).toBe(2);
  });

  it("keeps the image's own directory links and the folder's own mode, and replaces files", async () => {
    using work = temporaryFolder();
    shell(
      "mkdir -p image/usr/lib; ln -s usr/lib image/lib; echo old >image/usr/lib/f; ln -s /etc/shadow image/usr/lib/l; chmod 755 image",
      work.path,
    );
    const tar = makeTar(join(work.path, "a.tar"), [
      { path: "", kind: "directory", mode: 0o700, uid: 1000 },
      { path: "lib", kind: "directory", mode: 0o700 },
      { path: "lib/f", text: "new" },
      { path: "lib/l", text: "no link now" },
    ]);
    await unpackArchive(tar, join(work.path, "image"));
    expect(await fingerprint(join(work.path, "image"))).toEqual(expect.arrayContaining([expect.stringMatching(/^lib .*-> usr\/lib/)]));
    expect(readFileSync(join(work.path, "image/usr/lib/f"), "utf8")).toBe("new");
    expect(readFileSync(join(work.path, "image/usr/lib/l"), "utf8")).toBe("no link now");
    expect(statSync(join(work.path, "image"))).toMatchObject({ mode: 0o40755, uid: 0 });
    expect(statSync(join(work.path, "image/usr/lib")).mode).toBe(0o40755);
  });

  it("does not replace a directory that holds something with a file", async () => {
    using work = temporaryFolder();
    shell("mkdir -p image/etc/ssl; echo >image/etc/ssl/x", work.path);
    const tar = makeTar(join(work.path, "a.tar"), [{ path: "etc/ssl", text: "x" }]);
    await expect(unpackArchive(tar, join(work.path, "image"))).rejects.toMatchObject({ code: "INPUT_INVALID" });
  });

  it("carries out whiteouts on what was there, not on what it brings", async () => {
    using work = temporaryFolder();
    shell("mkdir -p image/a/b image/opq; echo >image/a/b/f; echo >image/a/gone; echo >image/opq/old; ln -s /etc image/link", work.path);
    const tar = makeTar(join(work.path, "a.tar"), [
      { path: "a/.wh.gone" },
      { path: "a/.wh.b" },
      { path: "a/b", kind: "directory" },
      { path: "a/b/new" },
      { path: "opq/new" },
      { path: "opq/.wh..wh..opq" },
      { path: ".wh.link" },
      { path: ".wh..wh.aufs" },
    ]);
    await unpackArchive(tar, join(work.path, "image"), { whiteouts: true });
    const names = (await fingerprint(join(work.path, "image"))).map((line) => line.split(" | ")[0]);
    expect(names).toEqual(["", "a", "a/b", "a/b/new", "opq", "opq/new"]);
  });

  it("takes .wh. names literally unless told", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "image"));
    await unpackArchive(makeTar(join(work.path, "a.tar"), [{ path: ".wh.x" }]), join(work.path, "image"));
    expect(readdirSync(join(work.path, "image"))).toEqual([".wh.x"]);
  });

  it("keeps every name, attribute and link", async () => {
    using work = temporaryFolder();
    makeRichTree(join(work.path, "tree"));
    await writeDirectoryTar(join(work.path, "tree"), join(work.path, "t.tar"), { epochSeconds: EPOCH });
    mkdirSync(join(work.path, "image/srv"), { recursive: true });
    await unpackArchive(join(work.path, "t.tar"), join(work.path, "image"), { into: "/srv", devices: true });
    const expected = (await fingerprint(join(work.path, "tree"))).map((line) =>
      line.replace("1500000000.75", "1500000000").replace("| 1800000000 |", `| ${EPOCH} |`),
    );
    expect((await fingerprint(join(work.path, "image/srv"))).slice(1)).toEqual(expected.slice(1));
  });
});

describe("a layer as a lower directory", () => {
  it("turns a whiteout under a new directory of that name into an opaque mark", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "out"));
    const tar = makeTar(join(work.path, "a.tar"), [
      { path: "d", kind: "directory", mode: 0o755 },
      { path: "d/x", text: "x" },
      { path: ".wh.d" },
      { path: ".wh.f" },
      { path: "f", text: "new" },
      { path: "p/.wh.q" },
    ]);
    await diffs.unpack(tar, join(work.path, "out"));
    const lines = (await fingerprint(join(work.path, "out"))).slice(1);
    expect(lines.map((line) => line.replace(/ \| .* \| /, " … "))).toEqual([
      "d … trusted.overlay.opaque=79",
      "d/x … ",
      "f … ",
      "p … ",
      "p/q | whiteout",
    ]);
  });

  it("lets later entries replace earlier ones", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "out"));
    const xattrs = new Map([["user.a", Uint8Array.of(1)]]);
    const tar = makeTar(join(work.path, "a.tar"), [
      { path: "a", text: "file", xattrs },
      { path: "a", kind: "directory", mode: 0o755 },
      { path: "a/b", text: "1" },
      { path: "a", kind: "symlink", linkTarget: "c" },
      { path: "n", kind: "fifo" },
      { path: "n2", kind: "hardlink", linkTarget: "n" },
      { path: "n", text: "now a file" },
      { path: "c/d/e", text: "deep" },
    ]);
    await diffs.unpack(tar, join(work.path, "out"));
    const lines = (await fingerprint(join(work.path, "out"))).slice(1);
    expect(lines.map((line) => line.split(" | ").toSpliced(2, 3).join(" "))).toEqual([
      "a 120777 -> c ",
      "c 40755  ",
      "c/d 40755  ",
      `c/d/e 100644 ${sha("deep")} `,
      `n 100644 ${sha("now a file")} `,
      "n2 10644  ",
    ]);
  });
});

describe("listing", () => {
  it("leaps over the content of a file of 9 GiB, and hands over what is asked for", async () => {
    using work = temporaryFolder();
    const tar = join(work.path, "sparse.tar");
    const sizeBytes = 9 * 2 ** 30;
    const headers = encodeHeader({ ...file, path: "huge", sizeBytes });
    const descriptor = openSync(tar, "w");
    writeSync(descriptor, headers);
    writeSync(
      descriptor,
      Buffer.concat([encodeHeader({ ...file, path: "small", sizeBytes: 3 }), Buffer.from("abc"), Buffer.alloc(509 + 1024)]),
      0,
      undefined,
      headers.length + sizeBytes,
    );
    closeSync(descriptor);
    const seen: unknown[] = [];
    for await (const { path, sizeBytes: bytes } of readTarEntries(tar)) seen.push([path, bytes]);
    expect(seen).toEqual([
      ["huge", sizeBytes],
      ["small", 3],
    ]);
    expect(execFileSync("tar", ["-tf", tar]).toString()).toBe("huge\nsmall\n");
  });

  it("reads a stream, hashes, and gives contents", async () => {
    using work = temporaryFolder();
    const tar = makeTar(join(work.path, "a.tar"), [
      { path: "a", text: "abc" },
      { path: "b", text: "" },
      { path: "d", kind: "directory" },
    ]);
    async function* bytewise(): AsyncGenerator<Uint8Array> {
      for (const byte of readFileSync(tar)) yield Uint8Array.of(byte);
    }
    const seen: unknown[] = [];
    for await (const entry of readTarEntries(bytewise(), { hash: true, wantsContent: ({ path }) => path === "a" })) {
      seen.push([entry.path, entry.sha256?.slice(0, 8), entry.content === undefined ? undefined : Buffer.from(entry.content).toString()]);
    }
    expect(seen).toEqual([
      ["a", "ba7816bf", "abc"],
      ["b", "e3b0c442", undefined],
      ["d", undefined, undefined],
    ]);
  });

  it("knows the names that the fixtures have", () => {
    expect(LONG_NAME.length).toBeGreaterThan(200);
    expect(NON_UTF8).toContain("\xff");
  });
});
