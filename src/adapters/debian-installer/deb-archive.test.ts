import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildDeb } from "../../../test/debian/debs.ts";
import { removeScratch } from "../../../test/debian/image.ts";
import { readControl, readPackages } from "./binary-package.ts";
import { readDebArchive } from "./deb-archive.ts";

afterAll(removeScratch);

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "bakehouse-deb-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const options = () => ({ directory: folder, jobs: 2, signal: new AbortController().signal });

/** A copy with some bytes replaced, from the end if negative. */
function damaged(deb: string, at: number, bytes: string): string {
  const content = readFileSync(deb);
  content.write(bytes, at < 0 ? content.length + at : at, "latin1");
  const path = join(folder, "damaged.deb");
  writeFileSync(path, content);
  return path;
}

describe.each(["xz", "gzip", "zstd", "none"] as const)("compressed with %s", (compression) => {
  test("is read whole", async () => {
    const deb = buildDeb({
      name: "some",
      version: "1:2.0-1",
      compression,
      control: { conffiles: "/etc/some", postinst: "true" },
      build: "mkdir -p etc usr; echo content > etc/some; head -c 200000 /dev/zero > usr/zeros",
    });
    expect(readDebArchive(deb).data.compression).toBe(compression);
    const { packages, close } = await readPackages([deb, deb], options());
    try {
      const [pack] = packages;
      expect(pack).toMatchObject({ name: "some", version: "1:2.0-1", architecture: "all", infoName: "some" });
      expect(pack?.control.map((member) => member.name).sort()).toEqual(["conffiles", "control", "postinst"]);
      expect(pack?.entries.map((entry) => entry.path)).toEqual(["/.", "/etc", "/etc/some", "/usr", "/usr/zeros"]);
      const file = pack?.entries[2];
      expect(pack?.content.read(file?.offset ?? 0, file?.sizeBytes ?? 0).toString()).toBe("content\n");
      expect(packages[1]?.entries).toEqual(pack?.entries);
    } finally {
      close();
    }
    expect(readdirSync(folder)).toEqual([]); // scratch files have no name
  });
});

describe("is refused, by the name of the file", () => {
  test.each([
    ["an empty file", "", "it is no ar archive"],
    ["something else", "#!/bin/sh\n", "it is no ar archive"],
    ["an archive that is cut off", "!<arch>\n", "the control member is missing"],
    ["a damaged member header", `!<arch>\n${"x".repeat(60)}`, "the member header at byte 8 is damaged"],
  ])("%s", (_, content, reason) => {
    const path = join(folder, "bad.deb");
    writeFileSync(path, content);
    expect(() => readDebArchive(path)).toThrow(`${path} is no Debian package: ${reason}`);
  });

  test("another format, another compression", () => {
    const deb = buildDeb({ name: "some" });
    expect(() => readDebArchive(damaged(deb, 68, "9.0"))).toThrow("its format is not 2.x");
    const content = readFileSync(deb, "latin1");
    const path = join(folder, "lzip.deb");
    writeFileSync(path, content.replace("data.tar.xz ", "data.tar.lz "), "latin1");
    expect(() => readDebArchive(path)).toThrow("nobody here can decompress data.tar.lz");
  });

  test("a stream that is cut off, or damaged inside", async () => {
    const deb = buildDeb({ name: "some", build: "head -c 50000 /dev/urandom > random" });
    const { data } = readDebArchive(deb);
    await expect(readPackages([deb, damaged(deb, data.offset + data.sizeBytes - 2, "XX")], options())).rejects.toThrow(
      "an xz stream is cut off",
    );
    await expect(readPackages([damaged(deb, data.offset + 20_000, "damage"), deb], options())).rejects.toThrow(
      /xz ended with exit code 1: .*Compressed data is corrupt/,
    );
    expect(readdirSync(folder)).toEqual(["damaged.deb"]);
  });

  test("control files without what dpkg needs", async () => {
    const deb = buildDeb({ name: "some", compression: "none" });
    const { control } = readDebArchive(deb);
    const text = readFileSync(deb).indexOf("Version:", control.offset);
    await expect(readControl([damaged(deb, text, "Vershon:")], options())).rejects.toThrow("damaged.deb: its control file has no Version");
    await expect(readControl([damaged(deb, text, "Version ")], options())).rejects.toThrow(
      /damaged.deb: line 2 of its control file is no field/,
    );
  });

  test("a stop while they are read", async () => {
    const stop = new AbortController();
    const deb = buildDeb({ name: "some", build: "head -c 9000000 /dev/urandom > random" });
    const reading = readPackages([deb, deb], { ...options(), signal: stop.signal });
    stop.abort();
    await expect(reading).rejects.toThrow();
  });
});
