import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BakehouseError } from "../errors.ts";
import type { TarEntry, TarEntryKind } from "./model.ts";
import { decodePax, encodePax, xattrKeyword, xattrNameOf } from "./pax.ts";
import { isUtf8, rawFromBytes, rawFromText, textOfRaw } from "./raw-path.ts";
import { encodeHeader } from "./tar-header.ts";
import { BLOCK, paddingOf, readNumber, writeOctal } from "./tar-numbers.ts";
import { tarParser, tidyPath } from "./tar-parser.ts";

const END = new Uint8Array(2 * BLOCK);

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

interface Parsed {
  readonly entry: TarEntry;
  readonly content: string;
}

function parse(archive: Uint8Array, chunkBytes: number = archive.length): readonly Parsed[] {
  const parsed: { entry: TarEntry; content: string }[] = [];
  const parser = tarParser({
    entry: (entry) => parsed.push({ entry, content: "" }),
    content: (bytes) => {
      const last = parsed.at(-1);
      if (last !== undefined) last.content += rawFromBytes(bytes);
    },
  });
  for (let at = 0; at < archive.length; at += chunkBytes) parser.push(archive.subarray(at, at + chunkBytes));
  parser.finish();
  return parsed;
}

const member = (entry: TarEntry, content: Uint8Array = new Uint8Array()): Uint8Array =>
  join(encodeHeader(entry), content, new Uint8Array(paddingOf(content.length)));

const rawName = (maxLength: number): fc.Arbitrary<string> =>
  fc
    .array(fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0x61, max: 0x7a }) }, fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength,
    })
    .map((bytes) => rawFromBytes(Uint8Array.from(bytes)).replaceAll("/", "x"))
    .filter((name) => name !== "." && name !== "..");
const rawPath = fc.array(rawName(120), { minLength: 1, maxLength: 5 }).map((parts) => parts.join("/"));
const xattrs = fc
  .array(
    fc.tuple(
      rawName(20).map((name) => `user.${name}`),
      fc.uint8Array({ maxLength: 300 }),
    ),
    { maxLength: 3 },
  )
  .map((pairs) => new Map(pairs));
const kinds: readonly TarEntryKind[] = ["file", "directory", "symlink", "hardlink", "character-device", "block-device", "fifo"];

const anyEntry: fc.Arbitrary<TarEntry> = fc
  .record({
    path: rawPath,
    kind: fc.constantFrom(...kinds),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.constant(2 ** 32 - 2)),
    gid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.constant(2_097_152)),
    mtimeSeconds: fc.oneof(fc.integer({ min: 0, max: 2 ** 33 }), fc.constant(2 ** 34), fc.constant(-5)),
    link: rawPath,
    major: fc.integer({ min: 0, max: 4095 }),
    minor: fc.integer({ min: 0, max: 1_048_575 }),
    xattrs,
  })
  .map(({ link, major, minor, xattrs: attributes, ...rest }) => ({
    ...rest,
    sizeBytes: 0,
    ...(rest.kind === "symlink" || rest.kind === "hardlink" ? { linkTarget: link } : {}),
    ...(rest.kind.endsWith("-device") ? { device: { major, minor } } : {}),
    ...(attributes.size > 0 ? { xattrs: attributes } : {}),
  }));

const comparable = (entry: TarEntry): unknown => ({
  ...entry,
  xattrs: [...(entry.xattrs ?? [])].map(([name, value]) => [name, [...value]]).sort(),
});

describe("writing and reading headers", () => {
  it("gives back every entry, however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(anyEntry, fc.uint8Array({ maxLength: 1500 })), { maxLength: 6 }),
        fc.integer({ min: 1, max: 3000 }),
        (items, chunkBytes) => {
          const members = items.map(([entry, content]) => {
            const bytes = entry.kind === "file" ? content : new Uint8Array();
            return { entry: { ...entry, sizeBytes: bytes.length }, bytes };
          });
          const archive = join(...members.map(({ entry, bytes }) => member(entry, bytes)), END);
          const parsed = parse(archive, chunkBytes);
          expect(parsed.map(({ entry }) => comparable(entry))).toEqual(members.map(({ entry }) => comparable(entry)));
          expect(parsed.map(({ content }) => content)).toEqual(members.map(({ bytes }) => rawFromBytes(bytes)));
        },
      ),
      { numRuns: 200 },
    );
  });

  it("leaps over content that nobody wants", () => {
    const file = (path: string, size: number): Uint8Array => member({ ...plain, path, sizeBytes: size }, new Uint8Array(size).fill(7));
    const archive = join(file("a", 5000), file("b", 0), file("c", 512), file("d", 1), END);
    const paths: string[] = [];
    const parser = tarParser({ entry: ({ path }) => paths.push(path) });
    let pushed = 0;
    for (let at = 0; at < archive.length;) {
      const chunk = archive.subarray(at, at + BLOCK);
      parser.push(chunk);
      pushed += chunk.length;
      const leap = parser.skippableBytes();
      parser.skip(leap);
      at += chunk.length + leap;
    }
    parser.finish();
    expect(paths).toEqual(["a", "b", "c", "d"]);
    expect(pushed).toBe(4 * BLOCK + END.length);
  });

  it("says sizes beyond 8 GiB in a pax header", () => {
    const sizeBytes = 8 ** 11 + 5;
    const header = encodeHeader({ ...plain, path: "huge", sizeBytes });
    expect(header.length).toBe(3 * BLOCK);
    const entries: TarEntry[] = [];
    const parser = tarParser({ entry: (entry) => entries.push(entry) });
    parser.push(header);
    expect(entries).toEqual([{ ...plain, path: "huge", sizeBytes }]);
    expect(parser.skippableBytes()).toBe(sizeBytes + paddingOf(sizeBytes));
  });

  it("needs one block for what ustar can hold, up to 8 GiB less one byte and 255 bytes of path", () => {
    const path = `${"d".repeat(155)}/${"n".repeat(100)}`;
    expect(encodeHeader({ ...plain, path, sizeBytes: 8 ** 11 - 1 }).length).toBe(BLOCK);
    expect(encodeHeader({ ...plain, path: `${path}n` }).length).toBe(3 * BLOCK);
    expect(encodeHeader({ ...plain, path: "na\xefve" }).length).toBe(BLOCK);
  });
});

describe("what other programs write", () => {
  it("reads base-256 numbers, also negative ones", () => {
    const block = new Uint8Array(12);
    block.set([0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]);
    expect(readNumber(block, 0, 12)).toBe(2 ** 33 + 1);
    block.fill(0xff);
    expect(readNumber(block, 0, 12)).toBe(-1);
    block.set([0x80, 0xff], 0);
    expect(() => readNumber(block, 0, 12)).toThrow(/2\^53/);
  });

  it("reads octal with spaces around it", () => {
    expect(
      readNumber(
        Uint8Array.from(" 0000644 ", (char) => char.charCodeAt(0)),
        0,
        8,
      ),
    ).toBe(0o644);
  });

  it("takes global pax records until a later one empties them", () => {
    const global = (value: string): Uint8Array => metaMember("g", encodePax(new Map([["path", bytes(value)]])));
    const archive = join(global("everywhere"), member({ ...plain, path: "a" }), global(""), member({ ...plain, path: "b" }), END);
    expect(parse(archive).map(({ entry }) => entry.path)).toEqual(["everywhere", "b"]);
  });

  it("reads GNU long names and links", () => {
    const name = "n".repeat(300);
    const target = "t".repeat(200);
    const archive = join(
      metaMember("L", bytes(`${name}\0`)),
      metaMember("K", bytes(`${target}\0`)),
      member({ ...plain, kind: "symlink", path: "short", linkTarget: "short" }),
      END,
    );
    expect(parse(archive)[0]?.entry).toMatchObject({ path: name, linkTarget: target });
  });

  it("turns ACL text into what the kernel keeps", () => {
    const text = "user::rw-,user:alice:r-x:1000,group::r--,mask::r-x,other::---";
    const archive = join(metaMember("x", encodePax(new Map([["SCHILY.acl.access", bytes(text)]]))), member({ ...plain, path: "a" }), END);
    const value = parse(archive)[0]?.entry.xattrs?.get("system.posix_acl_access");
    expect(Buffer.from(value ?? []).toString("hex")).toBe(
      "02000000" + "01000600ffffffff" + "02000500e8030000" + "04000400ffffffff" + "10000500ffffffff" + "20000000ffffffff",
    );
  });

  it.each([
    ["./", ""],
    [".", ""],
    ["./a//b/", "a/b"],
    ["a/./b", "a/b"],
    ["a/.", "a"],
    ["/etc/passwd", "/etc/passwd"],
    ["//etc", "/etc"],
    ["../x", "../x"],
    ["a/../b", "a/../b"],
    ["./.wh.a", ".wh.a"],
    ["..a/b", "..a/b"],
  ])("tidies %j to %j", (name, tidy) => expect(tidyPath(name)).toBe(tidy));
});

describe("archives that are none", () => {
  const sound = join(member({ ...plain, path: "a", sizeBytes: 1000 }, new Uint8Array(1000)), END);

  it.each([
    ["empty", new Uint8Array(), /empty/],
    ["text", bytes("x".repeat(2000)), /checksum|octal/],
    ["cut in a header", sound.subarray(0, 300), /cut off/],
    ["cut in content", sound.subarray(0, 900), /cut off/],
    ["without an end", sound.subarray(0, 3 * BLOCK), /end mark/],
    ["a wrong checksum", sound.with(10, 1), /checksum is \d+ and should be \d+ \(at byte 0\)/],
    ["a pax record that lies", join(metaMember("x", bytes("99 path=x\n")), sound), /pax header/],
    ["a pax number that is none", join(metaMember("x", encodePax(new Map([["size", bytes("1e9")]]))), sound), /size="1e9"/],
    ["an endless pax header", encodeMeta("x", 2 ** 32), /4294967296 bytes/],
    ["an unknown type", join(withFlag(member({ ...plain, path: "a" }), "S"), END), /sparse/],
  ])("refuses %s", (_, archive, message) => {
    const attempt = (): unknown => parse(archive);
    expect(attempt).toThrow(BakehouseError);
    expect(attempt).toThrow(message);
  });

  it("never throws anything but ARCHIVE_INVALID on damaged bytes", () => {
    const archive = join(
      member({ ...plain, path: "p".repeat(300), sizeBytes: 3, xattrs: new Map([["user.a", bytes("b")]]) }, bytes("abc")),
      member({ ...plain, path: "l", kind: "symlink", linkTarget: "x".repeat(120) }),
      END,
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
        fc.nat(archive.length),
        (flips, length) => {
          const damaged = archive.slice(0, length);
          for (const [at, value] of flips) if (at < length) damaged[at] = value;
          try {
            parse(damaged, 700);
          } catch (error) {
            expect(error).toMatchObject({ code: "ARCHIVE_INVALID" });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("records and names", () => {
  it("keeps pax records of any bytes", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            rawName(15).map((name) => name.replaceAll("=", "_")),
            fc.uint8Array({ maxLength: 1200 }),
          ),
          { maxLength: 5 },
        ),
        (pairs) => {
          const records = new Map(pairs);
          expect([...decodePax(encodePax(records))].map(([key, value]) => [key, [...value]])).toEqual(
            [...records].map(([key, value]) => [key, [...value]]),
          );
        },
      ),
    );
  });

  it("keeps attribute names with = and %", () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        expect(xattrNameOf(xattrKeyword(name))).toBe(name);
      }),
    );
  });

  it("shows names as text, and bytes that are no text", () => {
    expect(textOfRaw(rawFromText("näme"))).toBe("näme");
    expect(textOfRaw("n\xe4me")).toBe("n\\xe4me");
    expect([isUtf8("n\xe4me"), isUtf8(rawFromText("näme"))]).toEqual([false, true]);
  });
});

const plain: TarEntry = { path: "", kind: "file", mode: 0o644, uid: 0, gid: 0, sizeBytes: 0, mtimeSeconds: 0 };

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function encodeMeta(flag: string, sizeBytes: number): Uint8Array {
  return withFlag(encodeHeader({ ...plain, path: "meta", sizeBytes }), flag);
}

function metaMember(flag: string, payload: Uint8Array): Uint8Array {
  return join(encodeMeta(flag, payload.length), payload, new Uint8Array(paddingOf(payload.length)));
}

/** Another type flag, and the checksum that goes with it. */
function withFlag(blocks: Uint8Array, flag: string): Uint8Array {
  const changed = blocks.slice();
  const stored = readNumber(changed, 148, 8);
  writeOctal(changed, 148, 7, stored - (changed[156] ?? 0) + flag.charCodeAt(0));
  changed[156] = flag.charCodeAt(0);
  return changed;
}
