import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  chmodSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PackageFile } from "../../ports/package-store.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { extractLentTools, lentDigest, lentFolder, restoreLentDirectories } from "./index.ts";

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), "bakehouse-lent-"));
});
afterEach(() => rmSync(top, { recursive: true, force: true }));

const { signal } = new AbortController();
const extract = (packages: readonly PackageFile[]) => extractLentTools({ folder: join(top, "lent"), packages, signal });

/** A real .deb, as dpkg-deb makes it. */
function deb(name: string, files: Readonly<Record<string, string>>): PackageFile {
  const tree = join(top, "build", name);
  for (const [path, content] of Object.entries({
    ...files,
    "DEBIAN/control": `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n`,
  })) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    if (content.startsWith("→")) symlinkSync(content.slice(1), join(tree, path));
    else writeFileSync(join(tree, path), content);
  }
  const hostPath = join(top, `${name}.deb`);
  execFileSync("dpkg-deb", ["--build", "--root-owner-group", "-Znone", tree, hostPath], { stdio: "pipe" });
  const bytes = readFileSync(hostPath);
  return {
    name,
    version: "1",
    architecture: "all",
    sha256: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
    sizeBytes: bytes.length,
    path: `pool/${name}.deb`,
    repository: "debian",
    hostPath,
  };
}

describe("a lent tree", () => {
  test("is laid out for merged /usr, holds no documentation, and keeps services from starting", async () => {
    const { hostPath = "" } = await extract([
      deb("one", {
        "lib/x86_64-linux-gnu/libone.so.1": "lib",
        "usr/bin/one": "one",
        "usr/share/doc/one/copyright": "c",
        "usr/share/man/man1/one.1": "m",
      }),
      deb("two", { "usr/bin/two": "→one", "etc/two.conf": "conf" }),
    ]);
    expect(readFileSync(join(hostPath, "usr/lib/x86_64-linux-gnu/libone.so.1"), "utf8")).toBe("lib");
    expect(lstatSync(join(hostPath, "lib")).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(hostPath, "usr/bin/two"), "utf8")).toBe("one");
    expect(readFileSync(join(hostPath, "etc/two.conf"), "utf8")).toBe("conf");
    expect(existsSync(join(hostPath, "usr/share/doc/one"))).toBe(false);
    expect(() => execFileSync(join(hostPath, "usr/sbin/policy-rc.d"), ["nginx", "start"])).toThrow(
      expect.objectContaining({ status: 101 }) as Error,
    );
  });

  test("is made once for a set, whatever its order, and by several at once", async () => {
    const [one, two] = [deb("one", { "usr/bin/one": "1" }), deb("two", { "usr/bin/two": "2" })];
    const [first, second] = await Promise.all([extract([one, two]), extract([two, one])]);
    expect(first).toEqual(second);
    expect(first.digest).toBe(lentDigest([one, two]));
    expect(first.hostPath).toBe(lentFolder(join(top, "lent"), lentDigest([two, one])));
    expect(lentDigest([one])).not.toBe(first.digest);
    expect(readdirSync(join(top, "lent"))).toHaveLength(1);
    rmSync(one.hostPath);
    expect(await extract([one, two])).toEqual(first);
  });

  test("that cannot be made leaves nothing behind", async () => {
    const broken = deb("broken", { "usr/bin/x": "x".repeat(100_000) });
    writeFileSync(broken.hostPath, readFileSync(broken.hostPath).subarray(0, 20_000));
    await expect(extract([broken])).rejects.toThrow(/Cannot unpack .*broken\.deb/);
    expect(readdirSync(join(top, "lent"))).toEqual([]);
  });
});

test("directories that a new package shares with lent tools come to be in the image", () => {
  const [image, lent] = [join(top, "image"), join(top, "lent")];
  for (const path of ["usr/lib/both", "usr/lib/shared/empty", "usr/lib/only-lent"]) mkdirSync(join(lent, path), { recursive: true });
  chmodSync(join(lent, "usr/lib/shared/empty"), 0o750);
  mkdirSync(join(image, "usr/lib/both"), { recursive: true });
  mkdirSync(join(image, "var/lib/dpkg/info"), { recursive: true });
  writeFileSync(join(image, "var/lib/dpkg/info/new.list"), "/.\n/usr\n/usr/lib\n/usr/lib/both\n/usr/lib/shared\n/usr/lib/shared/empty\n");
  const root = hostImageRoot(image);
  expect(restoreLentDirectories(root, lent)).toEqual(["/usr/lib/shared", "/usr/lib/shared/empty"]);
  expect(root.lstat("/usr/lib/shared/empty")).toMatchObject({ kind: "directory", mode: 0o750 });
  expect(root.lstat("/usr/lib/only-lent")).toBeUndefined();
  expect(restoreLentDirectories(root, lent)).toEqual([]);
});
