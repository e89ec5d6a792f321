import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { diskReader } from "../adapters/disks/index.ts";
import { makeDisk, type DiskPart } from "../../test/disks/make-disk.ts";
import { plainImage, refusals, type StepImage } from "../../test/steps/step-image.ts";
import { disk } from "./disk.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
  image.root.remove("/etc");
});
afterEach(() => image.dispose());

const work = (): string => join(image.folder, "..", "work");
const run = (options: unknown): Promise<void> =>
  image.run(disk, options, { services: { disks: diskReader(image.root, work(), new AbortController().signal) } });
const raw = (name = "disk.raw"): string => join(image.folder, name);

describe("options", () => {
  test.each(["a.raw", { image: "a.qcow2" }, { image: "a", root: { label: "root" } }, { image: "a", root: { partition: 3 } }])(
    "%j is fine",
    (options) => expect(refusals(disk, options)).toEqual([]),
  );
  test.each([
    ["../a.raw", "leads out of the recipe's folder"],
    [{ image: "/a.raw" }, "is absolute"],
    [{ image: "a", root: { partition: 0 } }, "partition"],
    [{ image: "a", root: {} }, "root"],
  ])("%j is refused", (options, message) => expect(refusals(disk, options).join("\n")).toContain(message));
  test("name what enters the cache key", () =>
    expect(disk.requires?.({ image: "a.raw" })).toEqual({ files: [{ path: "a.raw", kind: "file" }] }));
});

/** A tree with what is easily lost; its folder, beside the recipe. */
function vendorTree(): string {
  const name = "vendor";
  if (existsSync(join(image.folder, name))) return join(image.folder, name);
  image.put(`${name}/etc/hostname`, "vendor");
  image.put(`${name}/etc/fstab`, "LABEL=root / ext4 defaults 0 1\n");
  chmodSync(image.put(`${name}/usr/bin/tool`, "#!"), 0o4755);
  linkSync(join(image.folder, name, "usr/bin/tool"), join(image.folder, name, "usr/bin/same"));
  symlinkSync("usr/bin", join(image.folder, name, "bin"));
  return join(image.folder, name);
}

const TREE = {
  "/bin": "link 0:0 → usr/bin",
  "/etc/hostname": 'file 0644 0:0 "vendor"',
  "/usr/bin/same": 'file 4755 0:0 "#!"',
  "/usr/bin/tool": 'file 4755 0:0 "#!"',
};
const root = (more: Partial<DiskPart> = {}): DiskPart => ({
  sizeMiB: 16,
  fileSystem: "ext4",
  label: "root",
  directory: vendorTree(),
  ...more,
});
const esp: DiskPart = { sizeMiB: 34, fileSystem: "vfat", label: "EFI", type: "U" };

describe("a disk", () => {
  test.each(["gpt", "mbr", "none"] as const)("with a partition table of kind %s is taken", async (table) => {
    makeDisk(raw(), table, table === "none" ? [root()] : [{ ...esp, type: table === "gpt" ? "U" : "ef" }, root()]);
    const before = readFileSync(raw());
    await run("disk.raw");
    expect(image.tree()).toMatchObject(TREE);
    expect(image.root.lstat("/lost+found")).toBeUndefined();
    expect(readFileSync(raw()).equals(before)).toBe(true);
    expect(existsSync(work())).toBe(false);
    expect(loopDevicesOf(image.folder)).toEqual([]);
  });

  test("may have its root on a logical partition", async () => {
    makeDisk(raw(), "none", [root()]);
    const logical = raw("logical.raw");
    writeFileSync(logical, "");
    truncateSync(logical, 24 * 1024 * 1024);
    const rows = "label: dos\nstart=2048, size=2048, type=83\nstart=4096, size=40960, type=5\nstart=6144, size=32768, type=83\n";
    execFileSync("sfdisk", ["--quiet", "--no-reread", "--no-tell-kernel", logical], { input: rows, stdio: ["pipe", "ignore", "inherit"] });
    execFileSync("dd", [`if=${raw()}`, `of=${logical}`, "bs=1M", "seek=3", "conv=notrunc", "status=none"]);
    await run({ image: "logical.raw", root: { partition: 5 } });
    expect(image.tree()).toMatchObject(TREE);
  });

  test("may be a qcow2", async () => {
    makeDisk(raw(), "gpt", [esp, root()]);
    execFileSync("qemu-img", ["convert", "-O", "qcow2", raw(), raw("disk.qcow2")]);
    await run("disk.qcow2");
    expect(image.tree()).toMatchObject(TREE);
  });

  test("with a damaged GPT is read by the copy at its end", async () => {
    makeDisk(raw(), "gpt", [root()]);
    overwrite(raw(), 512 + 40, "garbage");
    await run("disk.raw");
    expect(image.tree()).toMatchObject(TREE);
  });

  test("whose journal was not emptied is replayed in a copy", async () => {
    makeDisk(raw(), "none", [root()]);
    execFileSync("debugfs", ["-w", "-R", "feature needs_recovery", raw()], { env: { PATH: "/usr/sbin:/sbin" }, stdio: "ignore" });
    const before = readFileSync(raw());
    await run("disk.raw");
    expect(image.tree()).toMatchObject(TREE);
    expect(readFileSync(raw()).equals(before)).toBe(true);
  });

  test("with two roots needs to be told which", async () => {
    makeDisk(raw(), "gpt", [root({ label: "a", name: "first" }), root({ label: "b", name: "second" })]);
    await expect(run("disk.raw")).rejects.toMatchObject({
      code: "DISK_INVALID",
      message: expect.stringMatching(/^disk\.raw: it has 2 root file systems: partition 1 ext4 "a" .* partition 2 ext4 "b"/) as string,
      help: { hint: "say which: root: { partition: 1 } or root: { label: a }" },
    });
    await run({ image: "disk.raw", root: { label: "second" } });
    expect(image.tree()).toMatchObject(TREE);
  });
});

test("several at once never want the same device", async () => {
  makeDisk(raw(), "gpt", [root()]);
  const targets = ["a", "b", "c", "d"].map((name) => join(image.folder, "..", name));
  await Promise.all(
    targets.map((target) => {
      mkdirSync(target);
      return diskReader({ hostPath: target }, `${target}-work`, new AbortController().signal).copyTree(raw(), undefined);
    }),
  );
  for (const target of targets) expect(readFileSync(join(target, "etc/hostname"), "utf8")).toBe("vendor");
  expect(loopDevicesOf(image.folder)).toEqual([]);
});

test("a killed one leaves no device", { timeout: 120_000 }, async () => {
  makeDisk(raw(), "gpt", [root()]);
  const reader = spawn(process.execPath, ["--input-type=module", "--eval", READER, import.meta.dirname, raw(), work()], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  await until(() => loopDevicesOf(image.folder).length > 0);
  reader.kill("SIGKILL");
  await until(() => loopDevicesOf(image.folder).length === 0);
});

/** Reads a disk again and again. */
const READER = `const [, steps, raw, work] = process.argv;
const { diskReader } = await import(steps + "/../adapters/disks/index.ts");
const { mkdirSync } = await import("node:fs");
mkdirSync(work + "-tree");
for (;;) await diskReader({ hostPath: work + "-tree" }, work, new AbortController().signal).copyTree(raw, undefined);`;

async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 100_000; !isSo(); await delay(5)) if (Date.now() > end) throw new Error("waited 100 s in vain");
}

describe("is refused:", () => {
  const refused = (options: unknown, message: RegExp): Promise<void> =>
    expect(run(options)).rejects.toMatchObject({ code: "DISK_INVALID", message: expect.stringMatching(message) as string });

  test("an empty file", async () => {
    image.put("disk.raw", "");
    await refused("disk.raw", /it is empty/);
  });
  test("bytes that are no disk", async () => {
    writeFileSync(raw(), Buffer.alloc(1024 * 1024, 7));
    await refused("disk.raw", /neither a partition table \(GPT or MBR\) nor a file system/);
  });
  test("a disk that was cut off", async () => {
    makeDisk(raw(), "mbr", [root()]);
    truncateSync(raw(), 8 * 1024 * 1024);
    await refused("disk.raw", /partition 1 ends at byte \d+, and the disk at 8388608/);
  });
  test("a GPT of which both copies are damaged", async () => {
    makeDisk(raw(), "gpt", [root()]);
    overwrite(raw(), 512 + 40, "garbage");
    truncateSync(raw(), 17 * 1024 * 1024);
    await refused("disk.raw", /its GPT is damaged, and so is the copy/);
  });
  test("a disk without a root", async () => {
    image.put("data/readme", "no system");
    makeDisk(raw(), "gpt", [{ sizeMiB: 16, fileSystem: "ext4", directory: join(image.folder, "data") }]);
    await refused("disk.raw", /it has no root file system: no \/etc with \/usr or \/bin on partition 1/);
  });
  test("a disk with an EFI partition only", async () => {
    makeDisk(raw(), "gpt", [esp]);
    await refused("disk.raw", /no file system that a root could lie on\. There is partition 1 vfat "EFI"/);
  });
  test("an encrypted disk", async () => {
    makeDisk(raw(), "gpt", [{ sizeMiB: 2, fileSystem: "none" }]);
    overwrite(raw(), 1024 * 1024, "LUKS\xba\xbe");
    await refused("disk.raw", /its root lies in encryption \(LUKS\), which is not read/);
  });
  test("/boot on a partition of its own", async () => {
    const directory = vendorTree();
    writeFileSync(join(directory, "etc/fstab"), "LABEL=root / ext4 defaults 0 1\nLABEL=kernels /boot ext4 defaults 0 2\n");
    image.put("kernels/vmlinuz", "");
    makeDisk(raw(), "gpt", [
      { sizeMiB: 16, fileSystem: "ext4", label: "root", directory },
      { sizeMiB: 16, fileSystem: "ext4", label: "kernels", directory: join(image.folder, "kernels") },
    ]);
    await refused({ image: "disk.raw", root: { label: "root" } }, /it keeps \/boot on partition 2 ext4 "kernels"/);
  });
  test("a label that nothing has", async () => {
    makeDisk(raw(), "gpt", [root()]);
    await refused({ image: "disk.raw", root: { label: "other" } }, /no file system with label "other"\. There is partition 1 ext4 "root"/);
  });
  test("a qcow2 that reads another file of this machine", async () => {
    writeFileSync(raw("base.raw"), Buffer.alloc(1024 * 1024));
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw("base.raw"), raw("top.qcow2")]);
    await refused("top.qcow2", /it is a qcow2 on top of another file/);
  });
  test("a damaged qcow2", async () => {
    image.put("disk.qcow2", "QFI");
    writeFileSync(raw("disk.qcow2"), Buffer.concat([Buffer.from("QFI\xfb", "latin1"), Buffer.alloc(600, 9)]));
    await refused("disk.qcow2", /it is a damaged qcow2/);
  });
  test("another kind of disk image", async () => {
    image.put("disk.vmdk", "KDMV and more");
    await refused("disk.vmdk", /it is a vmdk image, and only raw and qcow2 are read/);
  });
});

function overwrite(file: string, offset: number, bytes: string | Buffer): void {
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, 0, undefined, offset);
  closeSync(descriptor);
}

const loopDevicesOf = (folder: string): readonly string[] =>
  execFileSync("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"], {
    encoding: "utf8",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  })
    .split("\n")
    .filter((file) => file.includes(folder));
