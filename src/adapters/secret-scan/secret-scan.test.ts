import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isScannable, maskSecrets, scanForSecrets, streamMasker } from "./index.ts";
import { createMatcher } from "./matcher.ts";
import { needlesFor } from "./needles.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-secrets-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

const SECRET = "p4ss/w&rd+with space";
const scan = (value = SECRET) => scanForSecrets(folder, [{ name: "db", value }]);

describe("a tree", () => {
  test.each([
    ["plain", SECRET, "plain"],
    ["in the middle of binary", Buffer.concat([Buffer.from([0, 255, 1]), Buffer.from(SECRET), Buffer.from([0])]), "plain"],
    ["base64", Buffer.from(SECRET).toString("base64"), "base64"],
    ["base64, one byte in", Buffer.from(`:${SECRET}`).toString("base64"), "base64"],
    ["base64, two bytes in, with more behind", Buffer.from(`u:${SECRET}@host`).toString("base64"), "base64"],
    ["base64url", Buffer.from(`user:${SECRET}`).toString("base64url"), "base64"],
    ["URL-escaped", `http://u:${encodeURIComponent(SECRET)}@host/`, "url-escaped"],
    ["as a form", new URLSearchParams({ password: SECRET }).toString(), "url-escaped"],
    ["hex", Buffer.from(SECRET).toString("hex").toUpperCase(), "hex"],
  ])("is searched for a secret: %s", async (_, content, form) => {
    put("etc/app.conf", content);
    put("etc/other", "nothing here");
    expect(await scan()).toEqual([{ path: "/etc/app.conf", secret: "db", form }]);
  });

  test("is searched in names and in the targets of links", async () => {
    put(`srv/token-${"abcdef123456"}`, "");
    symlinkSync("/run/abcdef123456", join(folder, "link"));
    expect((await scan("abcdef123456")).map(({ path }) => path)).toEqual(["/link", "/srv/token-abcdef123456"]);
  });

  test("names each secret once for a path", async () => {
    put("a", `${SECRET} ${SECRET} ${Buffer.from(SECRET).toString("hex")} second-secret`);
    const found = await scanForSecrets(folder, [
      { name: "second", value: "second-secret" },
      { name: "db", value: SECRET },
    ]);
    expect(found.map(({ path, secret }) => [path, secret])).toEqual([
      ["/a", "db"],
      ["/a", "second"],
    ]);
  });

  test("is searched across the borders of what is read at once", async () => {
    for (const start of [(1 << 20) - 3, (1 << 20) - SECRET.length, 2 * (1 << 20) - 1, 3 * (1 << 20)]) {
      put("big", Buffer.concat([Buffer.alloc(start, "x"), Buffer.from(SECRET)]));
      expect(await scan()).toHaveLength(1);
    }
  });

  test("does not care for names that are not UTF-8", async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0x2e])]), SECRET);
    expect(await scan()).toHaveLength(1);
  });
});

describe("a secret of several lines", () => {
  const key = [
    "-----BEGIN PRIVATE KEY-----",
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2",
    "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r",
    "-----END PRIVATE KEY-----",
    "",
  ].join("\n");
  const second = key.split("\n")[2] ?? "";

  test("is found by one of its lines", async () => {
    put("a", `key: ${second}\n`);
    expect(await scan(key)).toEqual([{ path: "/a", secret: "db", form: "line" }]);
  });
  test("is not found by the line that every key starts with", async () => {
    put("a", "-----BEGIN PRIVATE KEY-----\nanother\n-----END PRIVATE KEY-----\n");
    expect(await scan(key)).toEqual([]);
  });
  test.each([64, 76])("is found in base64 that is broken after %i characters", async (width) => {
    const encoded = Buffer.from(`xy${key}`)
      .toString("base64")
      .replace(new RegExp(`.{${width}}`, "g"), "$&\n");
    put("a", encoded);
    expect(await scan(key)).toEqual([{ path: "/a", secret: "db", form: "base64" }]);
  });
});

test("what is too short to be told from chance is not looked for", async () => {
  put("a", "1234");
  expect(isScannable("1234")).toBe(false);
  expect(isScannable("")).toBe(false);
  expect(await scan("1234")).toEqual([]);
});

test("the matcher finds what a naive search finds", () => {
  const word = fc.array(fc.constantFrom(97, 98, 99), { minLength: 2, maxLength: 6 }).map((codes) => Buffer.from(codes));
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 6 }),
      fc.array(fc.constantFrom(97, 98, 99), { maxLength: 200 }),
      (words, text) => {
        const needles = words.map((bytes, index) => ({ bytes, secret: String(index), form: "plain" as const }));
        const buffer = Buffer.from(text);
        const found: string[] = [];
        createMatcher(needles).scan(buffer, buffer.length, ({ needle, index }) => {
          found.push(`${needle.secret}@${index}`);
          return true;
        });
        const expected = needles.flatMap((needle) =>
          Array.from(text.keys())
            .filter((index) => buffer.subarray(index, index + needle.bytes.length).equals(needle.bytes))
            .map((index) => `${needle.secret}@${index}`),
        );
        expect(found.sort()).toEqual(expected.sort());
      },
    ),
  );
});

test("every form of any secret is found, wherever it stands", () => {
  const encoders: ((bytes: Buffer) => string)[] = [
    (bytes) => bytes.toString("base64"),
    (bytes) => bytes.toString("base64url"),
    (bytes) => bytes.toString("hex"),
    (bytes) => encodeURIComponent(bytes.toString("utf8")),
    (bytes) => JSON.stringify(bytes.toString("utf8")),
  ];
  const line = fc
    .string({ unit: "grapheme", minLength: 12, maxLength: 90 })
    .filter((text) => text.isWellFormed() && !/[\r\n]/.test(text) && text.trim() === text && !text.startsWith("#"));
  fc.assert(
    fc.property(line, fc.string(), fc.string(), fc.constantFrom(...encoders), (value, before, after, encode) => {
      const needles = needlesFor([{ name: "s", value }]);
      const text = Buffer.from(encode(Buffer.from(before.toWellFormed() + value + after.toWellFormed())));
      let found = 0;
      createMatcher(needles).scan(text, text.length, () => (found += 1) < 1);
      expect(found).toBeGreaterThan(0);
    }),
  );
});

describe("a log", () => {
  const secrets = [{ name: "db", value: SECRET }];
  test("shows a mask in place of every form", () => {
    const mask = maskSecrets(secrets);
    expect(mask(`login ${SECRET} ok`)).toBe("login *** ok");
    expect(mask(`Authorization: Basic ${Buffer.from(`me:${SECRET}`).toString("base64")}`)).not.toContain(
      Buffer.from(SECRET).toString("base64").slice(4, 20),
    );
    expect(mask(`?p=${encodeURIComponent(SECRET)}&q`)).toBe("?p=***&q");
    expect(mask("nothing")).toBe("nothing");
  });
  test("masks short secrets as well, and each line of long ones", () => {
    expect(maskSecrets([{ name: "pin", value: "1234" }])("pin 1234")).toBe("pin ***");
    expect(maskSecrets([{ name: "two", value: "first-long-line-of-it\nsecond-long-line-of-it\nx" }])("is second-long-line-of-it!")).toBe(
      "is ***!",
    );
  });
  test("masks a secret that comes in pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (sizes) => {
        const text = `one ${SECRET}\ntwo ${SECRET} ${SECRET}\nthree`;
        const masker = streamMasker(secrets);
        let shown = "";
        for (let at = 0, turn = 0; at < text.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          shown += masker.push(text.slice(at, at + size));
          at += size;
        }
        expect(shown + masker.end()).toBe("one ***\ntwo *** ***\nthree");
      }),
    );
  });
  test("is left alone without secrets", () => expect(maskSecrets([])("x")).toBe("x"));
});
