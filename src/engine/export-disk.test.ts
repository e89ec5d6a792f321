import { execFileSync, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { fixtureStore, leftovers, put, type FixtureStore } from "../../test/image-store.ts";
import { putMachine } from "../../test/machine-tree.ts";
import { builtCli } from "../../test/shared-store.ts";
import { hashFile } from "../adapters/image-trees/index.ts";
import { qemuMachines } from "../adapters/machines/index.ts";
import { ROOT_TYPES } from "../core/artifact/artifact-record.ts";
import { openArtifacts, sizeOf } from "../presets/artifacts.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import {
  DEFAULT_DISK,
  exportImage,
  type DiskOptions,
  type ExportedImage,
  type ExportFormat,
  type ExportImageOptions,
} from "./export-image.ts";
import { makeArtifacts } from "./make-artifacts.ts";
import { verifyArtifact, type VerifiedArtifact } from "./verify-artifact.ts";

const { signal } = new AbortController();
/** Machines start without KVM, beside other tests. */
const LONG_MS = 900_000;
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });
let fixture: FixtureStore;
let images: ImageParts;
let scratch: string;

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-disks-"));
  fixture = fixtureStore();
  const tree = mkdtempSync(join(scratch, "tree-"));
  await putMachine(tree);
  const root = await fixture.bake({
    name: "shop/base",
    steps: [{ address: "base/copy", change: (upper) => void execFileSync("cp", ["-a", `${tree}/.`, upper]) }],
  });
  await fixture.bake({ name: "shop/bare", steps: [{ address: "bare/copy", change: (upper) => put(upper, { "etc/motd": "hello\n" }) }] });
  await fixture.bakeVolume({
    name: "shop/site",
    root,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "bread\n" }),
  });
  images = openImages({ store: fixture.store.root });
});

afterAll(async () => {
  await images.close();
  expect(leftovers(fixture.folder)).toEqual([]);
  expect(leftovers(scratch)).toEqual([]);
  fixture.remove();
  rmSync(scratch, { recursive: true, force: true });
});

let count = 0;
const exported = async (reference: string, options: Partial<ExportImageOptions>): Promise<ExportedImage> =>
  exportImage(await images.exporting(), reference, {
    format: "raw",
    folder: scratch,
    output: join(scratch, `out-${count++}`),
    replace: false,
    volumeOnly: false,
    signal,
    onProgress: () => undefined,
    ...options,
  });

const disk = (options: Partial<DiskOptions>): { readonly disk: DiskOptions } => ({ disk: { ...DEFAULT_DISK, ...options } });

/** In another folder, with another umask and time zone, a second later. */
async function exportedElsewhere(reference: string, options: Partial<ExportImageOptions>): Promise<ExportedImage> {
  const output = join(mkdtempSync(join(scratch, "else where-")), "another.name");
  const zone = process.env["TZ"];
  const before = process.umask(0o077);
  process.env["TZ"] = "Asia/Kathmandu";
  try {
    await new Promise((resolve) => setTimeout(resolve, 1100));
    return await exported(reference, { ...options, output });
  } finally {
    process.umask(before);
    if (zone === undefined) delete process.env["TZ"];
    else process.env["TZ"] = zone;
  }
}

async function verified(
  file: string,
  options: { readonly withStore: boolean; readonly expected?: `sha256:${string}` },
): Promise<VerifiedArtifact> {
  const parts = await openArtifacts(options.withStore ? fixture.store.root : undefined);
  try {
    const { expected } = options;
    return await verifyArtifact(parts, file, { ...(expected === undefined ? {} : { expected }), signal, onBytes: () => undefined });
  } finally {
    await parts.close();
  }
}

const tableOf = (file: string): { readonly start: number; readonly size: number; readonly name: string }[] =>
  (JSON.parse(execFileSync("sfdisk", ["--json", file], { encoding: "utf8" })) as { partitiontable: { partitions: [] } }).partitiontable
    .partitions;

const partition = (file: string, role: string): { readonly startBytes: number; readonly sizeBytes: number } => {
  const found = tableOf(file).find(({ name }) => name.startsWith(`bh-${role}-`));
  if (found === undefined) throw new Error(`No ${role} in ${file}`);
  return { startBytes: found.start * 512, sizeBytes: found.size * 512 };
};

/** Changes bytes in place. */
function patch(file: string, find: string, replacement: string): void {
  const bytes = readFileSync(file);
  const at = bytes.lastIndexOf(find);
  expect(at).toBeGreaterThan(0);
  bytes.write(replacement, at);
  writeFileSync(file, bytes);
}

describe("a disk", () => {
  it.each(ROOT_TYPES)("with %s as its root has the same bytes under other circumstances", async (root) => {
    const first = await exported("shop/site", { ...disk({ root, dataBytes: root === "ext4" ? 0 : 32 << 20 }) });
    const second = await exportedElsewhere("shop/site", { ...disk({ root, dataBytes: root === "ext4" ? 0 : 32 << 20 }) });
    expect(second.digest).toBe(first.digest);
    expect(`sha256:${hashFile(first.target)}`).toBe(first.digest);
    expect(spawnSync("sfdisk", ["--verify", first.target], { encoding: "utf8" }).stdout).toContain("No errors detected");
    expect(await verified(first.target, { withStore: true })).toMatchObject({ verdict: "intact", comparedWith: "store", faults: [] });
    for (const role of ["root", "data"].slice(0, root === "ext4" ? 1 : 2)) {
      if (role === "root" && root !== "ext4") continue;
      const fsck = spawnSync("e2fsck", ["-fn", `${first.target}?offset=${partition(first.target, role).startBytes}`], { encoding: "utf8" });
      expect(fsck).toMatchObject({ status: 0 });
    }
    rmSync(first.target);
    rmSync(second.target);
  });

  it.each(["qcow2", "vmdk", "vhd"] as const)("as %s has the same bytes under other circumstances", async (format) => {
    const first = await exported("shop/site", { format });
    const second = await exportedElsewhere("shop/site", { format });
    expect(second.digest).toBe(first.digest);
    expect(first.derived).toBe(false);
    // a fixed VHD has nothing that qemu-img could check
    if (format !== "vhd") expect(spawnSync("qemu-img", ["check", "-f", format, first.target])).toMatchObject({ status: 0 });
    else
      expect(
        JSON.parse(execFileSync("qemu-img", ["info", "-f", "vpc", "--output=json", first.target], { encoding: "utf8" })),
      ).toMatchObject({ format: "vpc" });
    rmSync(first.target);
    rmSync(second.target);
  });

  it("as vhdx is marked as derived, and holds the same", async () => {
    const { target, derived } = await exported("shop/site", { format: "vhdx" });
    expect(derived).toBe(true);
    expect(await verified(target, { withStore: true })).toMatchObject({ verdict: "intact", format: "vhdx" });
    rmSync(target);
  });

  it("that shall be larger leaves the space to an ext4 root", async () => {
    const { target, sizeBytes } = await exported("shop/base", { ...disk({ root: "ext4", sizeBytes: 1024 ** 3 }) });
    expect(sizeBytes).toBe(1024 ** 3);
    expect(partition(target, "root").sizeBytes).toBeGreaterThan(0.9 * 1024 ** 3);
    rmSync(target);
  });

  it("needs a kernel in the image, and says what to add", async () => {
    await expect(exported("shop/bare", {})).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringContaining("holds no kernel"),
      help: { hint: expect.stringContaining("linux-image-cloud-amd64") },
    });
  });

  it.each(["raw", "qcow2"] as const)("as %s on a disk that is full leaves nothing", async (format) => {
    const place = mkdtempSync(join(scratch, "full-"));
    for (const size of ["8m", "60m"]) {
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", place]);
      try {
        await expect(exported("shop/base", { format, output: join(place, "out") })).rejects.toMatchObject({ code: "STORE_FULL" });
        expect(readdirSync(place)).toEqual([]);
      } finally {
        execFileSync("umount", [place]);
      }
    }
  });

  it("that is stopped leaves nothing; one that is killed leaves what the next tidies", async () => {
    const cli = await builtCli();
    const place = mkdtempSync(join(scratch, "killed-"));
    const start = () => {
      const child = spawn(
        process.execPath,
        [cli, "export", "shop/base", "--output", join(place, "out"), "--format", "raw", "--store", fixture.store.root],
        {
          stdio: "ignore",
        },
      );
      return { child, ended: new Promise((resolve) => child.on("close", resolve)) };
    };
    const working = async (): Promise<void> => {
      while (!readdirSync(place).some((name) => name.startsWith(".out.bakehouse-") && existsSync(join(place, name, "boot"))))
        await new Promise((resolve) => setTimeout(resolve, 5));
    };
    for (const how of ["SIGINT", "SIGKILL"] as const) {
      const { child, ended } = start();
      await working();
      child.kill(how);
      await ended;
      expect(existsSync(join(place, "out"))).toBe(false);
      if (how === "SIGINT") expect(readdirSync(place)).toEqual([]);
    }
    await start().ended;
    expect(readdirSync(place)).toEqual(["out"]);
    expect(await verified(join(place, "out"), { withStore: true })).toMatchObject({ verdict: "intact" });
  });
});

describe("the content digest", () => {
  const FORMATS: readonly ExportFormat[] = ["tar", "squashfs", "erofs", "oci", "raw", "qcow2", "vmdk", "vhd"];

  const digests = new Set<unknown>();

  it.each(FORMATS)(
    "of %s is that of all, and is proved with and without the store",
    async (format) => {
      const { target, content, withoutAccessLists } = await exported("shop/site", { format, output: join(scratch, `site.${format}.tar`) });
      digests.add(content);
      expect([format, withoutAccessLists]).toEqual([format, format === "squashfs" ? ["/etc/motd"] : []]);
      const byStore = await verified(target, { withStore: true });
      expect([format, byStore.verdict, byStore.comparedWith, byStore.differences, byStore.faults]).toEqual([
        format,
        "intact",
        "store",
        [],
        [],
      ]);
      const alone = await verified(target, { withStore: false });
      expect([format, alone.verdict, alone.comparedWith]).toEqual([format, "intact", "itself"]);
      const other = await verified(target, { withStore: false, expected: `sha256:${"0".repeat(64)}` });
      expect([format, other.verdict]).toEqual([format, "differs"]);
      rmSync(target, { recursive: true });
      expect(digests.size).toBe(1);
    },
    LONG_MS,
  );

  it("is that of the text which the disk carries", async () => {
    const { target, content } = await exported("shop/base", {});
    const { startBytes } = partition(target, "boot");
    const listing = execFileSync("mtype", ["-i", `${target}@@${startBytes}`, "::/bakehouse/content.txt"]);
    const file = join(scratch, "content.txt");
    writeFileSync(file, listing);
    expect(`sha256:${hashFile(file)}`).toBe(content);
    const text = listing.toString("utf8");
    expect(text).toContain("\nh /odd/na%c3%afve%20name /odd/again\n");
    expect(text).toMatch(/^c 644 0:0 \d+ \/odd\/device 1,3$/m);
    expect(text).toMatch(/^p 644 1000:70000 \d+ \/odd\/fifo$/m);
    expect(text).toMatch(/^f \d+ 0:0 \d+ \/odd\/capable 0 [0-9a-f]{64} security\.capability=\S+$/m);
    expect(text).toMatch(/^f \d+ 0:0 \d+ \/etc\/motd 6 [0-9a-f]{64} system\.posix_acl_access=\S+$/m);
    rmSync(target);
  });

  it("of a file in which something was changed says what", async () => {
    const { target } = await exported("shop/site", {});
    const changed = join(scratch, "changed.raw");
    copyFileSync(target, changed);
    patch(changed, "needle-", "thread-");
    expect(await verified(changed, { withStore: true })).toMatchObject({
      verdict: "differs",
      differences: [{ path: "/odd/large", change: "changed", what: "content" }],
    });
    expect(await verified(changed, { withStore: false })).toMatchObject({ differences: [{ path: "/odd/large" }] });
    copyFileSync(target, changed);
    patch(changed, ".cmdline", ".cmdlime");
    expect((await verified(changed, { withStore: true })).faults).toEqual([expect.stringContaining("EFI/BOOT/BOOTX64.EFI is sha256:")]);
    copyFileSync(target, changed);
    patch(changed, "console=ttyS0", "console=ttyS1");
    expect((await verified(changed, { withStore: true })).faults).toEqual([expect.stringContaining("another command line")]);
    const { target: tar } = await exported("shop/site", { format: "tar" });
    patch(tar, "needle-", "thread-");
    expect(await verified(tar, { withStore: true })).toMatchObject({ differences: [{ path: "/odd/large", what: "content" }] });
  });

  it("cannot be read from what is none of ours", async () => {
    const file = join(scratch, "nothing");
    writeFileSync(file, "nothing");
    await expect(verified(file, { withStore: false })).rejects.toMatchObject({ code: "INPUT_INVALID" });
    await expect(verified(join(scratch, "missing"), { withStore: false })).rejects.toMatchObject({ code: "INPUT_INVALID" });
    truncateSync(file, 64 << 20);
    execFileSync("sfdisk", ["--quiet", file], { input: "label: gpt\n,\n" });
    await expect(verified(file, { withStore: false })).rejects.toMatchObject({ code: "DISK_INVALID" });
    const backed = join(scratch, "backed.qcow2");
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-b", file, "-F", "raw", backed]);
    await expect(verified(backed, { withStore: false })).rejects.toMatchObject({
      code: "DISK_INVALID",
      message: expect.stringContaining("other files"),
    });
  });
});

describe("the artifacts of a recipe", () => {
  it("are made once, each under a name of its own", async () => {
    const folder = mkdtempSync(join(scratch, "artifacts-"));
    const artifact = { root: "erofs", sizeBytes: 0, dataBytes: 0, append: [] } as const;
    const base = {
      artifacts: [
        { ...artifact, format: "qcow2" },
        { ...artifact, format: "erofs" },
      ],
      name: "base",
    } as const;
    const recipe = { name: "shop", layers: [base] } as unknown as Parameters<typeof makeArtifacts>[1];
    const make = async (list: boolean) =>
      makeArtifacts({ ...(await images.exporting()), sizeOf }, recipe, {
        folder,
        layers: [],
        replace: false,
        list,
        signal,
        onProgress: () => undefined,
      });
    expect((await make(true)).map(({ state }) => state)).toEqual(["missing", "missing"]);
    const made = await make(false);
    expect(made.map(({ state }) => state)).toEqual(["made", "made"]);
    expect((await make(false)).map(({ state }) => state)).toEqual(["there", "there"]);
    expect(readdirSync(folder).sort()).toEqual(made.map(({ file }) => basename(file)).sort());
    expect(readdirSync(folder).sort()[0]).toMatch(/^shop-base-[0-9a-f]{12}-erofs\.qcow2$/);
  });
});

describe("a machine", () => {
  const boot = async (file: string, format: "raw" | "qcow2", bus: "virtio" | "nvme", keepWrites: boolean): Promise<string> => {
    const machine = await qemuMachines(fixture.store).start(
      { boot: { kind: "firmware", disk: file, format, bus, keepWrites }, memoryMiB: 512, ports: [] },
      signal,
    );
    try {
      while (machine.isAlive() && !machine.serial().includes("saw end")) await new Promise((resolve) => setTimeout(resolve, 200));
      // what was written reaches the disk when it switches itself off
      for (let waited = 0; machine.isAlive() && waited < 100; waited++) await new Promise((resolve) => setTimeout(resolve, 200));
      return machine.serial();
    } finally {
      await machine.stop();
    }
  };

  it(
    "starts from a read-only root by UEFI, sees the volume, and keeps what it writes on the data partition",
    async () => {
      const { target, content } = await exported("shop/site", { ...disk({ root: "squashfs", dataBytes: 32 << 20 }) });
      const first = await boot(target, "raw", "virtio", true);
      expect(first).toContain("saw motd: hello");
      expect(first).toContain("saw site: bread");
      expect(first).toContain("saw write: written");
      expect(first).toContain(`bh.content=${content ?? ""}`);
      expect(first).toMatch(/overlay \/ overlay rw/);
      const second = await boot(target, "raw", "nvme", true);
      expect(second).toContain("saw kept: written");
      expect(await verified(target, { withStore: true })).toMatchObject({ verdict: "intact" });
    },
    LONG_MS,
  );

  it(
    "starts from a writable root in a qcow2",
    async () => {
      const { target } = await exported("shop/base", { format: "qcow2", ...disk({ root: "ext4" }) });
      const serial = await boot(target, "qcow2", "virtio", false);
      expect(serial).toContain("saw motd: hello");
      expect(serial).toMatch(/ \/ ext4 rw/);
    },
    LONG_MS,
  );
});

describe("a container", () => {
  it("is made from the oci layout by umoci, and runs in runc", async () => {
    const { target } = await exported("shop/base", { format: "oci", output: join(scratch, "layout") });
    const bundle = join(scratch, "bundle");
    execFileSync("umoci", ["unpack", "--image", `${target}:shop/base`, bundle], { stdio: "pipe" });
    const specification = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(specification, "utf8")) as { process: object; linux: object };
    const process_ = { ...config.process, terminal: false, args: ["/bin/busybox", "cat", "/etc/motd"] };
    writeFileSync(specification, JSON.stringify({ ...config, process: process_ }));
    mkdirSync(join(scratch, "runc"));
    const output = execFileSync("runc", ["--root", join(scratch, "runc"), "run", "--bundle", bundle, `bakehouse-test-${process.pid}`], {
      encoding: "utf8",
    });
    expect(output).toBe("hello\n");
  });
});
