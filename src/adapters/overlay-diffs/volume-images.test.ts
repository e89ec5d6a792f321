import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { uuidOfDigest } from "../../core/layer/volume-id.ts";
import { EPOCH, fingerprint, makeRichTree, shell, temporaryFolder } from "./fixtures.ts";
import { buildErofs, buildSquashfs, treeDigest, withoutOverlayMarks, writeDirectoryTar } from "./index.ts";

const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

const BUILDERS = {
  erofs: (directory: string, target: string, uuid: string) => buildErofs({ directory, target, epochSeconds: EPOCH, uuid }),
  "erofs with lz4": (directory: string, target: string, uuid: string) =>
    buildErofs({ directory, target, epochSeconds: EPOCH, uuid, compression: "lz4" }),
  squashfs: (directory: string, target: string) => buildSquashfs({ directory, target, epochSeconds: EPOCH }),
  "squashfs with lz4": (directory: string, target: string) => buildSquashfs({ directory, target, epochSeconds: EPOCH, compression: "lz4" }),
};

/** The same content made in another order and on another file system. */
async function twins(work: string): Promise<readonly [string, string, string]> {
  const [first, tar] = [join(work, "first"), join(work, "first.tar")];
  makeRichTree(first);
  // see buildErofs: at most one attribute each
  shell("setfattr -x user.empty etc/hello; setfattr -x 'user.w=ei%rd' etc/hello; find . -exec touch -h -d @1650000000 {} +", first);
  await writeDirectoryTar(first, tar);
  const second = execFileSync("mktemp", ["-d", "-p", existsSync("/dev/shm") ? "/dev/shm" : work])
    .toString()
    .trim();
  shell(`tar --xattrs --xattrs-include='*' -xpf '${tar}' -C '${second}'`, work);
  return [first, second, tar];
}

describe.each(Object.entries(BUILDERS))("a volume as %s", (kind, build) => {
  it("has the same bytes for the same content, from another file system too", async () => {
    using work = temporaryFolder();
    const [first, second] = await twins(work.path);
    try {
      const digest = await treeDigest(first);
      expect(await treeDigest(second)).toBe(digest);
      await build(first, join(work.path, "1.img"), uuidOfDigest(digest));
      process.env["SOURCE_DATE_EPOCH"] = "1";
      await build(second, join(work.path, "2.img"), uuidOfDigest(digest));
      expect(digestOf(join(work.path, "2.img"))).toBe(digestOf(join(work.path, "1.img")));
    } finally {
      delete process.env["SOURCE_DATE_EPOCH"];
      execFileSync("rm", ["-rf", second]);
    }
  });

  it("holds the tree", async () => {
    using work = temporaryFolder();
    makeRichTree(join(work.path, "tree"));
    shell("find . -exec touch -h -d @1650000000 {} +", join(work.path, "tree"));
    await build(join(work.path, "tree"), join(work.path, "v.img"), uuidOfDigest(`sha256:${"5".repeat(64)}`));
    mkdirSync(join(work.path, "mnt"));
    const type = kind.split(" ")[0] ?? "";
    const script = `mount -t ${type} -o ro,loop v.img mnt; mkdir out; cp -a --preserve=all mnt/. out`;
    execFileSync("unshare", ["-m", "sh", "-e", "-c", script], { cwd: work.path });
    const beyond = type === "erofs" ? /^trusted/ : /^system\.|^trusted/; // squashfs knows no ACLs
    expect(await fingerprint(join(work.path, "out"), beyond)).toEqual(await fingerprint(join(work.path, "tree"), beyond));
  });
});

describe("volume images", () => {
  it.each(["erofs", "squashfs"])("give every file the one time when asked (%s)", async (type) => {
    using work = temporaryFolder();
    const [directory, target] = [join(work.path, "tree"), join(work.path, "v.img")];
    shell("mkdir tree mnt; echo a >tree/a; echo b >tree/b; touch -d @1600000000 tree/b", work.path);
    const request = { directory, target, epochSeconds: EPOCH, oneTime: true };
    await (type === "erofs" ? buildErofs({ ...request, uuid: uuidOfDigest(`sha256:${"1".repeat(64)}`) }) : buildSquashfs(request));
    const script = `mount -t ${type} -o ro,loop v.img mnt; stat -c %Y mnt mnt/a mnt/b`;
    const times = execFileSync("unshare", ["-m", "sh", "-e", "-c", script], { cwd: work.path }).toString();
    expect(times).toBe(`${EPOCH}\n`.repeat(3));
  });

  it("can be made of an overlay's directory once its marks are taken off", async () => {
    using work = temporaryFolder();
    shell(
      "mkdir tree; echo a >tree/a; setfattr -n trusted.overlay.origin -v 1 tree/a; setfattr -n trusted.overlay.opaque -v y tree",
      work.path,
    );
    shell("setfattr -n user.mine -v 1 tree/a", work.path);
    await withoutOverlayMarks(join(work.path, "tree"));
    const lines = await fingerprint(join(work.path, "tree"), /^$/);
    expect(lines.map((line) => line.split(" | ").slice(6).join())).toEqual(["", ",user.mine=31"]);
  });

  it("leave nothing behind when they fail", async () => {
    using work = temporaryFolder();
    await expect(
      buildErofs({
        directory: join(work.path, "none"),
        target: join(work.path, "v.img"),
        epochSeconds: EPOCH,
        uuid: uuidOfDigest(`sha256:${"0".repeat(64)}`),
      }),
    ).rejects.toThrow(/mkfs\.erofs/);
    expect(existsSync(join(work.path, "v.img"))).toBe(false);
  });

  it("have an id that is a UUID, from the digest", () => {
    expect(uuidOfDigest(`sha256:${"0123456789abcdef".repeat(4)}`)).toBe("01234567-89ab-8def-8123-456789abcdef");
    expect(uuidOfDigest(`sha256:${"f".repeat(64)}`)).toBe("ffffffff-ffff-8fff-bfff-ffffffffffff");
  });
});
