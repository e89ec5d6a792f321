import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ImageRoot } from "../../ports/image-root.ts";
import { hostImageRoot } from "./image-root.ts";

let outside: string;
let top: string;
let root: ImageRoot;

beforeEach(() => {
  outside = mkdtempSync(join(tmpdir(), "bakehouse-image-root-"));
  top = join(outside, "image");
  mkdirSync(join(top, "usr/bin"), { recursive: true });
  symlinkSync("usr/bin", join(top, "bin"));
  root = hostImageRoot(top);
});
afterEach(() => rmSync(outside, { recursive: true, force: true }));

describe("links are resolved inside the image", () => {
  test("an absolute link means the image's path", () => {
    symlinkSync("/etc", join(top, "config"));
    root.write("/config/motd", "hi");
    expect(readFileSync(join(top, "etc/motd"), "utf8")).toBe("hi");
    expect(root.resolve("/config/motd")).toBe(join(top, "etc/motd"));
  });

  test.each(["../../../../escape", "/../../escape"])("%s stops at the root", (target) => {
    symlinkSync(target, join(top, "way-out"));
    root.write("/way-out/file", "x");
    expect(readFileSync(join(top, "escape/file"), "utf8")).toBe("x");
    expect(() => lstatSync(join(outside, "escape"))).toThrow("ENOENT");
  });

  test("a link to a host file reads nothing of the host", () => {
    writeFileSync(join(outside, "secret"), "host");
    symlinkSync(join(outside, "secret"), join(top, "secret"));
    symlinkSync("../secret", join(top, "secret2"));
    expect(root.readText("/secret")).toBeUndefined();
    expect(root.stat("/secret2")).toBeUndefined();
    expect(root.readLink("/secret2")).toBe("../secret");
  });

  test("a loop is named", () => {
    symlinkSync("/b", join(top, "a"));
    symlinkSync("/a", join(top, "b"));
    expect(() => root.read("/a")).toThrow("/a: too many symbolic links (ELOOP)");
    expect(root.lstat("/a")?.kind).toBe("symlink");
  });

  test("dots in a path", () => {
    root.write("/usr/bin/tool", "x");
    expect(root.stat("/usr/bin/../bin/./tool")?.kind).toBe("file");
    expect(root.stat("/usr/bin/..")?.kind).toBe("directory");
    expect(root.resolve("/bin/..")).toBe(join(top, "usr"));
    expect(root.stat("/../../usr")?.kind).toBe("directory");
    expect(root.resolve("/")).toBe(top);
  });
});

describe("what is written", () => {
  test("has the default attributes, whatever the umask and the group of the parent", () => {
    const before = process.umask(0o077);
    try {
      mkdirSync(join(top, "shared"));
      root.setAttributes("/shared", { gid: 50, mode: 0o2775 });
      root.write("/shared/deep/file", "x");
      root.makeDirectory("/shared/folder");
      root.symlink("/shared/link", "file");
    } finally {
      process.umask(before);
    }
    expect(root.stat("/shared/deep/file")).toMatchObject({ kind: "file", mode: 0o644, uid: 0, gid: 0, sizeBytes: 1 });
    expect(root.stat("/shared/deep")).toMatchObject({ kind: "directory", mode: 0o755, uid: 0, gid: 0 });
    expect(root.stat("/shared/folder")).toMatchObject({ mode: 0o755, gid: 0 });
    expect(root.lstat("/shared/link")).toMatchObject({ kind: "symlink", gid: 0 });
  });

  test("keeps setuid beside another owner", () => {
    root.write("/usr/bin/su", "x", { mode: 0o4750, uid: 1, gid: 2 });
    expect(root.stat("/usr/bin/su")).toMatchObject({ mode: 0o4750, uid: 1, gid: 2 });
    root.setAttributes("/usr/bin/su", { uid: 3 });
    expect(root.stat("/usr/bin/su")).toMatchObject({ mode: 0o4750, uid: 3, gid: 2 });
  });

  test("replaces a link, not what it leads to", () => {
    root.write("/real", "old");
    root.symlink("/link", "real");
    root.write("/link", "new");
    expect(root.readText("/real")).toBe("old");
    expect(root.lstat("/link")?.kind).toBe("file");
  });

  test("does not write through a hard link or keep old attributes", () => {
    root.write("/a", "old", { mode: 0o4755 });
    root.write("/a", "new");
    expect(root.stat("/a")).toMatchObject({ mode: 0o644, sizeBytes: 3 });
  });

  test("a directory that exists keeps its mode unless one is given", () => {
    root.makeDirectory("/tmp", { mode: 0o1777 });
    root.makeDirectory("/tmp");
    expect(root.stat("/tmp")?.mode).toBe(0o1777);
    root.makeDirectory("/tmp", { mode: 0o700, uid: 5 });
    expect(root.stat("/tmp")).toMatchObject({ mode: 0o700, uid: 5 });
  });

  test("a directory behind a dangling link is made where the link leads", () => {
    root.symlink("/var/run", "/run");
    root.write("/var/run/app/pid", "1");
    expect(root.readText("/run/app/pid")).toBe("1");
    expect(root.readLink("/var/run")).toBe("/run");
  });

  test("copies a file of the host with the attributes asked for", () => {
    const source = join(outside, "source");
    writeFileSync(source, "body");
    chmodSync(source, 0o600);
    root.copyFile(source, "/bin/copied", { mode: 0o755 });
    expect(root.stat("/usr/bin/copied")).toMatchObject({ mode: 0o755, uid: 0, sizeBytes: 4 });
    root.copyFile(source, "/usr/bin/copied");
    expect(root.stat("/usr/bin/copied")?.mode).toBe(0o644);
  });

  test("copies many files into one directory, over what is there and through no link", () => {
    const source = join(outside, "source");
    writeFileSync(source, "body");
    root.write("/usr/bin/old", "old");
    root.write("/kept", "kept");
    root.symlink("/usr/bin/link", "/kept");
    root.makeDirectory("/shared", { gid: 50, mode: 0o2775 });
    const file = (name: string, attributes = {}) => ({ hostPath: source, name, attributes });
    root.copyFiles("/bin", [file("old"), file("link"), file("new", { mode: 0o755, uid: 7 }), file("new", { mode: 0o600 })]);
    root.copyFiles("/made/here", [file("one")]);
    root.copyFiles("/shared", [file("one")]);
    expect(["old", "link", "new"].map((name) => root.lstat(`/usr/bin/${name}`))).toMatchObject([
      { kind: "file", mode: 0o644, uid: 0, sizeBytes: 4 },
      { kind: "file" },
      { kind: "file", mode: 0o600, uid: 0 },
    ]);
    expect([root.readText("/kept"), root.readText("/made/here/one")]).toEqual(["kept", "body"]);
    expect(root.stat("/shared/one")).toMatchObject({ uid: 0, gid: 0 });
    expect(() => root.copyFiles("/usr", [file("bin")])).toThrow("/usr/bin: a directory is there (EISDIR)");
    expect(() => root.copyFiles("/", [{ ...file("x"), hostPath: join(outside, "none") }])).toThrow(/^\/x: .*ENOENT/);
  });

  test("owner of a link, never of what it leads to", () => {
    root.write("/real", "x");
    root.symlink("/link", "real");
    root.setAttributes("/link", { uid: 7, gid: 8, mode: 0o777 });
    expect(root.lstat("/link")).toMatchObject({ uid: 7, gid: 8 });
    expect(root.stat("/link")).toMatchObject({ uid: 0, mode: 0o644 });
  });
});

describe("removing", () => {
  test("takes a tree away and leaves what links lead to", () => {
    root.write("/keep/file", "x");
    root.write("/gone/file", "x");
    root.symlink("/gone/link", "/keep");
    root.symlink("/also", "/keep");
    root.remove("/gone");
    root.remove("/also");
    root.remove("/was/never/here");
    expect(root.list("/")).toEqual(["bin", "keep", "usr"]);
    expect(root.readText("/keep/file")).toBe("x");
    expect(() => root.remove("/")).toThrow("EBUSY");
  });
});

describe("what is not there, or something else", () => {
  test("reads as undefined", () => {
    root.write("/file", "x");
    expect(root.read("/none")).toBeUndefined();
    expect(root.read("/file/below")).toBeUndefined();
    expect(root.stat("/none/below")).toBeUndefined();
    expect(root.readLink("/file")).toBeUndefined();
    expect(root.list("/none")).toEqual([]);
  });

  test("writing names the image path and the reason", () => {
    root.write("/file", "x");
    expect(() => root.write("/file/below", "x")).toThrow("/file/below: /file is not a directory (ENOTDIR)");
    expect(() => root.makeDirectory("/file")).toThrow("(ENOTDIR)");
    expect(() => root.write("/usr/bin", "x")).toThrow("/usr/bin: a directory is there (EISDIR)");
    expect(() => root.read("/usr")).toThrow("EISDIR");
    expect(() => root.list("/file")).toThrow("ENOTDIR");
    expect(() => root.write("relative", "x")).toThrow("EINVAL");
    expect(() => root.stat("/a\0b")).toThrow("EINVAL");
    expect(() => root.setAttributes("/none", { mode: 1 })).toThrow("ENOENT");
    expect(() => root.write(`/${"n".repeat(300)}`, "x")).toThrow(/^\/n+: the file system refuses \(ENAMETOOLONG\)$/);
    expect(() => root.copyFile(join(outside, "none"), "/x")).toThrow("ENOENT");
  });
});
