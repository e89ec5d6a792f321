import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { textOfRaw } from "../../core/layer/raw-path.ts";
import { EPOCH, fingerprint, hasProgram, makeLayout, makeRichTree, shell, temporaryFolder, umociUnpack } from "./fixtures.ts";
import { overlayDiffs, readTarEntries, treeDigest, writeDirectoryTar } from "./index.ts";

const diffs = overlayDiffs();
const never = new AbortController().signal;
const write = (directory: string, target: string, lowerHasDirectory: (path: string) => boolean = () => false) =>
  diffs.write({ directory, target, epochSeconds: EPOCH, lowerHasDirectory, signal: never });

async function listing(tar: string): Promise<readonly unknown[]> {
  const lines: unknown[] = [];
  for await (const { xattrs, ...entry } of readTarEntries(tar, { hash: true })) {
    lines.push({ ...entry, xattrs: [...(xattrs ?? [])].map(([name, value]) => `${name}=${Buffer.from(value).toString("hex")}`).sort() });
  }
  return lines;
}

describe("a tree as a tar", () => {
  it("is what the tree's content says, whatever order, folder and times it was made in", async () => {
    using work = temporaryFolder();
    const [one, two] = [join(work.path, "one"), join(work.path, "elsewhere/two")];
    makeRichTree(one);
    mkdirSync(two, { recursive: true });
    shell(
      `cd '${one}' && find . -mindepth 1 -maxdepth 1 -print0 | sort -rz | tar --null -T - --xattrs --xattrs-include='*' -cf - | tar --xattrs --xattrs-include='*' -xpf - -C '${two}'`,
      work.path,
    );
    shell("touch -d @1900000000 . etc; touch -h -d @1600000000 etc; touch -d @1700000001 .", two);
    shell("touch -d @1750000000 .", one);
    const first = await write(one, join(work.path, "1.tar"));
    const second = await write(two, join(work.path, "2.tar"));
    expect(second).toEqual(first);
    expect(first.diffId).toBe(
      `sha256:${createHash("sha256")
        .update(readFileSync(join(work.path, "1.tar")))
        .digest("hex")}`,
    );
    expect(await treeDigest(one, { epochSeconds: EPOCH })).toBe(first.diffId);
  });

  it("is extracted by GNU tar to the same tree", async () => {
    using work = temporaryFolder();
    const [tree, tar, out] = ["tree", "tar", "out"].map((name) => join(work.path, name)) as [string, string, string];
    makeRichTree(tree);
    await write(tree, tar);
    shell(`mkdir '${out}' && tar --xattrs --xattrs-include='*' -xpf '${tar}' -C '${out}'`, work.path);
    expect(await fingerprint(out)).toEqual(await fingerprint(tree));
  });

  it("is extracted by our own reader to the same tree, with the digest proven", async () => {
    using work = temporaryFolder();
    const [tree, tar, out] = ["tree", "tar", "out"].map((name) => join(work.path, name)) as [string, string, string];
    makeRichTree(tree);
    const summary = await write(tree, tar);
    mkdirSync(out);
    expect(await diffs.unpack(tar, out, summary.diffId)).toEqual(summary);
    expect(await fingerprint(out)).toEqual(await fingerprint(tree));
    expect(await treeDigest(out)).toBe(summary.diffId);
  });

  it("is unpacked by umoci to the same tree, and copied by skopeo", async () => {
    if (!hasProgram("umoci") || !hasProgram("skopeo")) return;
    using work = temporaryFolder();
    const [tree, tar] = ["tree", "tar"].map((name) => join(work.path, name)) as [string, string];
    makeRichTree(tree);
    await write(tree, tar);
    // Go's reader takes an empty pax value as "no such attribute", and does not undo GNU tar's way to write = in a name
    const beyondGo = /^trusted\.|^user\.(empty|w)/;
    expect(await fingerprint(umociUnpack([tar], work.path), beyondGo)).toEqual(await fingerprint(tree, beyondGo));
    makeLayout(join(work.path, "layout2"), [tar]);
    execFileSync("skopeo", ["copy", "-q", "--insecure-policy", `oci:${work.path}/layout2:image`, `oci:${work.path}/copy:image`], {
      stdio: "pipe",
    });
  });

  it.each(["pax", "gnu"])("lists the same as GNU tar's own (--format=%s)", async (format) => {
    using work = temporaryFolder();
    const [tree, ours, theirs] = ["tree", "ours.tar", "theirs.tar"].map((name) => join(work.path, name)) as [string, string, string];
    makeRichTree(tree);
    await write(tree, ours);
    const xattrs =
      format === "pax" ? "--xattrs --xattrs-include=security.* --xattrs-include=user.* --xattrs-include=system.posix_acl*" : "";
    shell(`tar --sort=name --numeric-owner --format=${format} ${xattrs} -cf '${theirs}' -C '${tree}' .`, work.path);
    const bare = (lines: readonly unknown[]): readonly unknown[] =>
      format === "pax" ? lines : lines.map((line) => ({ ...(line as object), xattrs: [] }));
    // GNU tar repeats a file's attributes at each of its names
    const plain = (lines: readonly unknown[]): readonly unknown[] =>
      bare(lines).map((line) => ({ ...(line as object), ...((line as { kind: string }).kind === "hardlink" ? { xattrs: [] } : {}) }));
    expect(plain(await listing(theirs))).toEqual(bare(await listing(ours)));
  });

  it("goes to a descriptor as well", async () => {
    using work = temporaryFolder();
    writeFileSync(join(work.path, "a"), "a");
    const script = `import { writeDirectoryTar } from ${JSON.stringify(new URL("index.ts", import.meta.url).href)}; await writeDirectoryTar(process.argv[1], 1);`;
    const tar = execFileSync(process.execPath, ["--input-type=module", "-e", script, work.path]);
    expect(`sha256:${createHash("sha256").update(tar).digest("hex")}`).toBe(await treeDigest(work.path));
    expect(tar.length).toBe(2 * 512 + 512 + 1024);
  });
});

describe("the directory after writing", () => {
  it("has the tar's times and no marks of this host, and no sockets", async () => {
    using work = temporaryFolder();
    const tree = join(work.path, "tree");
    makeRichTree(tree);
    shell(
      "for f in . etc etc/hello 'usr/caf\xe9 \xff'; do setfattr -n trusted.overlay.origin -v 0x00fb \"$f\"; done; setfattr -n trusted.overlay.impure -v y .; setfattr -n trusted.overlay.opaque -v y etc",
      tree,
    );
    const server = createServer().listen(join(tree, "etc/socket"));
    await new Promise((resolve) => server.once("listening", resolve));
    await write(tree, join(work.path, "tar"));
    expect(existsSync(join(tree, "etc/socket"))).toBe(false);
    await new Promise((resolve) => server.close(resolve));
    const lines = await fingerprint(tree, /^$/);
    expect(lines.filter((line) => line.includes("trusted."))).toEqual([]);
    expect(lines.filter((line) => line.startsWith("etc/empty |"))[0]).toContain(`| ${EPOCH} |`);
    expect(lines.filter((line) => line.startsWith("etc/hello |"))[0]).toContain("| 1500000000 |");
    expect(lines.filter((line) => line.startsWith("etc |"))[0]).toContain(`| ${EPOCH} |`);
  });

  it("is left alone when a tree is written as it stands", async () => {
    using work = temporaryFolder();
    const tree = join(work.path, "tree");
    makeRichTree(tree);
    shell("mknod .wh c 0 0; echo >.wh.x; setfattr -n trusted.overlay.opaque -v y etc", tree);
    const before = await fingerprint(tree, /^$/);
    await writeDirectoryTar(tree, join(work.path, "tar"), { epochSeconds: 1 });
    expect(await fingerprint(tree, /^$/)).toEqual(before);
    const paths = (await listing(join(work.path, "tar"))).map((entry) => textOfRaw((entry as { path: string }).path));
    expect(paths).toEqual(expect.arrayContaining([".wh", ".wh.x"]));
  });
});

/** A lower tree and what somebody did upon it, through a real overlay in a mount namespace that goes with its process. */
const LOWER = `
mkdir -p a/b/c keep removed-dir/x replaced-dir/old etc; echo 1 >a/b/c/f; echo 2 >a/file; echo 3 >keep/k; echo 4 >removed-dir/x/y
echo 5 >replaced-dir/old/o; echo 6 >etc/passwd; echo 7 >becomes-dir; mkdir becomes-file; echo 8 >becomes-file/x; ln etc/passwd etc/passwd.link
`;
const CHANGE = `
rm a/file; rm -r removed-dir; rm -r replaced-dir; mkdir replaced-dir; echo new >replaced-dir/new; rm becomes-dir; mkdir becomes-dir; echo d >becomes-dir/d
rm -r becomes-file; echo f >becomes-file; echo 99 >>etc/passwd; mkdir -p fresh/deeper; echo x >fresh/deeper/x; rm -r a/b; mkdir a/b; mkdir a/b/c; echo c >a/b/c/g
chmod 700 keep; ln a/b/c/g fresh/g
`;

function bakeUpon(work: string): void {
  shell(
    `
mkdir lower upper workdir merged result
(cd lower; ${LOWER} find . -exec touch -h -d @1600000000 {} +)
`,
    work,
  );
  execFileSync(
    "unshare",
    [
      "-m",
      "sh",
      "-e",
      "-c",
      `mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=workdir merged; cd merged; ${CHANGE} cp -a . ../result`,
    ],
    { cwd: work },
  );
}

describe("an overlay's upper directory", () => {
  const lowerHas =
    (work: string) =>
    (path: string): boolean =>
      existsSync(join(work, "lower", path)) && !path.endsWith("becomes-dir");

  it("becomes whiteouts, and opaque marks only where the layers below have a directory", async () => {
    using work = temporaryFolder();
    bakeUpon(work.path);
    await write(join(work.path, "upper"), join(work.path, "upper.tar"), lowerHas(work.path));
    const paths = (await listing(join(work.path, "upper.tar"))).map((entry) => (entry as { path: string }).path);
    expect(paths.filter((path) => path.includes(".wh."))).toEqual([
      "a/b/.wh..wh..opq",
      "a/.wh.file",
      ".wh.removed-dir",
      "replaced-dir/.wh..wh..opq",
    ]);
    const marks = (await fingerprint(join(work.path, "upper"), /^$/)).filter((line) => line.includes("trusted."));
    expect(marks.map((line) => line.split(" ")[0])).toEqual(["a/b", "replaced-dir"]);
  });

  it("means the same to umoci, to overlayfs and to us", async () => {
    using work = temporaryFolder();
    bakeUpon(work.path);
    const [lowerTar, upperTar] = [join(work.path, "lower.tar"), join(work.path, "upper.tar")];
    await write(join(work.path, "lower"), lowerTar);
    const baked = await write(join(work.path, "upper"), upperTar, lowerHas(work.path));
    mkdirSync(join(work.path, "l2"));
    mkdirSync(join(work.path, "u2"));
    await diffs.unpack(lowerTar, join(work.path, "l2"));
    await diffs.unpack(upperTar, join(work.path, "u2"), baked.diffId);
    expect(await fingerprint(join(work.path, "u2"))).toEqual(await fingerprint(join(work.path, "upper")));

    const merged = (upper: string, lower: string): void =>
      void execFileSync(
        "unshare",
        [
          "-m",
          "sh",
          "-e",
          "-c",
          `mkdir out-${upper}; mount -t overlay overlay -o lowerdir=${upper}:${lower} merged; cp -a merged/. out-${upper}`,
        ],
        { cwd: work.path },
      );
    merged("upper", "lower");
    merged("u2", "l2");
    const seen = await fingerprint(join(work.path, "out-upper"));
    expect(await fingerprint(join(work.path, "out-u2"))).toEqual(seen);
    const withoutTimes = (lines: readonly string[]): readonly string[] =>
      lines.map((line) => line.split(" | ").toSpliced(4, 1).join(" | "));
    expect(withoutTimes(seen)).toEqual(withoutTimes(await fingerprint(join(work.path, "result"))));
    if (hasProgram("umoci")) expect(await fingerprint(umociUnpack([lowerTar, upperTar], work.path))).toEqual(seen);
  });

  it("refuses a file whose name means a whiteout", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "tree"));
    writeFileSync(join(work.path, "tree/.wh.x"), "");
    await expect(write(join(work.path, "tree"), join(work.path, "tar"))).rejects.toMatchObject({
      code: "STEP_FAILED",
      message: expect.stringContaining('"/.wh.x"') as string,
    });
    expect(existsSync(join(work.path, "tar"))).toBe(false);
  });

  it("refuses marks that make the directory say less than the change", async () => {
    using work = temporaryFolder();
    shell("mkdir tree; echo >tree/a; setfattr -n trusted.overlay.metacopy tree/a", work.path);
    await expect(write(join(work.path, "tree"), join(work.path, "tar"))).rejects.toThrow(/metacopy=off/);
  });
});

describe("what can go wrong", () => {
  it("stops when asked and leaves no half tar", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "tree"));
    shell("truncate -s 20G tree/f", work.path);
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 60);
    const attempt = diffs.write({
      directory: join(work.path, "tree"),
      target: join(work.path, "tar"),
      epochSeconds: EPOCH,
      lowerHasDirectory: () => false,
      signal: stop.signal,
    });
    await expect(attempt).rejects.toMatchObject({ code: "CANCELLED" });
    expect(existsSync(join(work.path, "tar"))).toBe(false);
  });

  it("says STORE_FULL on a full disk", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "tree"));
    mkdirSync(join(work.path, "small"));
    shell("head -c 8000000 /dev/zero >tree/f", work.path);
    const script = `import { writeDirectoryTar } from ${JSON.stringify(new URL("index.ts", import.meta.url).href)}; await writeDirectoryTar("tree", "small/tar").catch((error) => console.log(error.code));`;
    const said = execFileSync(
      "unshare",
      [
        "-m",
        "sh",
        "-e",
        "-c",
        'mount -t tmpfs -o size=1m tmpfs small; exec "$0" "$@"',
        process.execPath,
        "--input-type=module",
        "-e",
        script,
      ],
      { cwd: work.path },
    );
    expect(said.toString().trim()).toBe("STORE_FULL");
  });

  it("does not write over a file that is there", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "tree"));
    writeFileSync(join(work.path, "tar"), "precious");
    await expect(write(join(work.path, "tree"), join(work.path, "tar"))).rejects.toThrow(/EEXIST/);
    expect(readFileSync(join(work.path, "tar"), "utf8")).toBe("precious");
  });
});
