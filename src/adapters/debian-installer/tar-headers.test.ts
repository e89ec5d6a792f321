import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { listTar } from "./tar-headers.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "bakehouse-tar-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const list = (bytes: Buffer) => listTar((offset, length) => bytes.subarray(offset, offset + length));
const tarOf = (...options: readonly string[]): Buffer =>
  execFileSync("tar", ["-C", folder, "--sort=name", ...options, "-cf", "-", "."], { maxBuffer: 1e9 });

describe("what GNU tar writes", () => {
  test.each(["gnu", "ustar", "posix"])("in the format %s", (format) => {
    const long = format === "ustar" ? "d".repeat(80) : "d".repeat(200);
    mkdirSync(join(folder, "a", long), { recursive: true });
    writeFileSync(join(folder, "a", long, "file"), "content", { mode: 0o640 });
    writeFileSync(join(folder, "b"), Buffer.alloc(700_000, 1));
    execFileSync("sh", ["-ec", "ln b hard; ln -s ../x soft; chmod 4755 b; touch -d @1234567890 b; printf x > \"$(printf 'raw-\\344')\""], {
      cwd: folder,
    });
    const bytes = tarOf(`--format=${format}`, "--owner=daemon:1", "--group=shadow:42");
    const entries = list(bytes);
    expect(entries.map((entry) => `${entry.kind} ${entry.path} ${entry.target}`)).toEqual([
      "directory /. ",
      "directory /a ",
      `directory /a/${long} `,
      `file /a/${long}/file `,
      "file /b ",
      "hardlink /hard /b",
      "file /raw-\xe4 ",
      "symlink /soft ../x",
    ]);
    const b = entries.find((entry) => entry.path === "/b");
    expect(b).toMatchObject({
      mode: 0o4755,
      uid: 1,
      gid: 42,
      userName: "daemon",
      groupName: "shadow",
      mtimeSeconds: 1234567890,
      sizeBytes: 700_000,
    });
    const file = entries.find((entry) => entry.path.endsWith("/file"));
    expect(bytes.toString("utf8", file?.offset, (file?.offset ?? 0) + 7)).toBe("content");
  });

  test("with any names and sizes", () => {
    const name = fc
      .string({
        unit: fc
          .integer({ min: 1, max: 255 })
          .filter((byte) => byte !== 0x2f)
          .map((byte) => String.fromCharCode(byte)),
        minLength: 1,
        maxLength: 120,
      })
      .filter((text) => text !== "." && text !== "..");
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(name, fc.integer({ min: 0, max: 2000 })), { selector: ([key]) => key, maxLength: 8 }),
        (files) => {
          rmSync(folder, { recursive: true, force: true });
          mkdirSync(folder);
          for (const [file, size] of files)
            writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(file, "latin1")]), Buffer.alloc(size, 7));
          const found = list(tarOf("--format=gnu")).filter((entry) => entry.kind === "file");
          expect(new Map(found.map((entry) => [entry.path.slice(1), entry.sizeBytes]))).toEqual(new Map(files));
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe("a tar that is refused", () => {
  /** Changes bytes of the first header and mends its checksum. */
  function changed(bytes: Buffer, offset: number, text: string): Buffer {
    const copy = Buffer.from(bytes);
    copy.write(text, offset, "latin1");
    copy.write("        ", 148, "latin1");
    const sum = copy.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    copy.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return copy;
  }
  const oneFile = (): Buffer => {
    writeFileSync(join(folder, "file"), "x");
    return execFileSync("tar", ["-C", folder, "--format=gnu", "-cf", "-", "file"]);
  };

  test("leads out of the image", () => {
    expect(() => list(changed(oneFile(), 0, "../x"))).toThrow('entry "../x" leads out of the image');
    expect(list(changed(oneFile(), 0, "/abs\0")).map((entry) => entry.path)).toEqual(["/abs"]);
  });
  test("is damaged", () => {
    const bytes = oneFile();
    bytes.write("y", 0);
    expect(() => list(bytes)).toThrow("the tar header at byte 0 is damaged");
    expect(() => list(changed(oneFile(), 124, "zzz"))).toThrow("is no octal number");
  });
  test("has an entry of an unknown type", () => expect(() => list(changed(oneFile(), 156, "S"))).toThrow('has the unknown type "S"'));
  test("is cut off, or has no end mark, which is its end", () => {
    expect(list(oneFile().subarray(0, 1024)).length).toBe(1);
    expect(list(Buffer.alloc(0))).toEqual([]);
    expect(list(readFileSync("/dev/null"))).toEqual([]);
  });
});
