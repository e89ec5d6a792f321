import { execFileSync } from "node:child_process";
import { chmodSync, linkSync, lutimesSync, lchownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { EPOCH, fingerprint, temporaryFolder } from "./fixtures.ts";
import { overlayDiffs, treeDigest } from "./index.ts";

type Node =
  | { readonly kind: "file"; readonly bytes: Uint8Array; readonly mode: number; readonly owner: number; readonly time: number }
  | { readonly kind: "symlink"; readonly target: string }
  | { readonly kind: "again" }
  | { readonly kind: "directory"; readonly mode: number; readonly children: readonly (readonly [string, Node])[] };

const name = fc
  .array(fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) }, fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 200,
  })
  .map((bytes) =>
    String.fromCharCode(...bytes)
      .replaceAll("/", "|")
      .slice(0, 200),
  )
  .filter((text) => text !== "." && text !== ".." && !text.startsWith(".wh."));
const mode = fc.integer({ min: 0, max: 0o7777 });
const file = fc.record({
  kind: fc.constant("file" as const),
  bytes: fc.uint8Array({ maxLength: 2000 }),
  mode,
  owner: fc.integer({ min: 0, max: 4_000_000 }),
  time: fc.integer({ min: -10, max: 2_000_000_000 }),
});
const symlink = fc.record({
  kind: fc.constant("symlink" as const),
  target: fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("/")),
});
const { node } = fc.letrec<{ node: Node; directory: Node }>((tie) => ({
  node: fc.oneof({ depthSize: "small", withCrossShrink: true }, file, symlink, fc.constant({ kind: "again" as const }), tie("directory")),
  directory: fc.record({
    kind: fc.constant("directory" as const),
    mode,
    children: fc.array(fc.tuple(name, tie("node")), { maxLength: 4 }),
  }),
}));

/** `again` is one more name for the last file that was made. */
function make(path: Buffer, item: Node, last: { path?: Buffer }): void {
  if (item.kind === "file") {
    writeFileSync(path, item.bytes);
    lchownSync(path, item.owner, 4_000_000 - item.owner);
    chmodSync(path, item.mode);
    lutimesSync(path, item.time, item.time);
    last.path = path;
  } else if (item.kind === "symlink") symlinkSync(Buffer.from(item.target, "latin1"), path);
  else if (item.kind === "again" && last.path !== undefined) linkSync(last.path, path);
  else if (item.kind === "directory") {
    mkdirSync(path);
    for (const [child, inner] of new Map(item.children)) make(Buffer.concat([path, Buffer.from(`/${child}`, "latin1")]), inner, last);
    chmodSync(path, item.mode);
  }
}

it("brings any tree back, through GNU tar and through our own reader", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, node), { maxLength: 5 }), async (children) => {
      using work = temporaryFolder();
      const [tree, tar, theirs, ours] = ["tree", "tar", "theirs", "ours"].map((part) => join(work.path, part)) as [
        string,
        string,
        string,
        string,
      ];
      make(Buffer.from(tree), { kind: "directory", mode: 0o755, children }, {});
      const summary = await overlayDiffs().write({
        directory: tree,
        target: tar,
        epochSeconds: EPOCH,
        lowerHasDirectory: () => false,
        signal: new AbortController().signal,
      });
      const expected = await fingerprint(tree);
      mkdirSync(ours);
      await overlayDiffs().unpack(tar, ours, summary.diffId);
      expect(await fingerprint(ours)).toEqual(expected);
      mkdirSync(theirs);
      execFileSync("tar", ["-xpf", tar, "-C", theirs]);
      expect(await fingerprint(theirs)).toEqual(expected);
      expect(await treeDigest(theirs)).toBe(summary.diffId);
    }),
    { numRuns: 15 },
  );
});
