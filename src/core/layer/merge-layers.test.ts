import { describe, expect, it } from "vitest";
import { compareTrees, totalsOf } from "./changes.ts";
import { type ListedEntry, mergeLayers, type TreeEntry } from "./merge-layers.ts";

const file = (path: string, more: Partial<ListedEntry> = {}): ListedEntry => ({
  path,
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  sizeBytes: 10,
  mtimeSeconds: 1,
  ...more,
});
const directory = (path: string): ListedEntry => file(path, { kind: "directory", mode: 0o755, sizeBytes: 0 });
const merge = (...layers: readonly (readonly ListedEntry[])[]): readonly TreeEntry[] =>
  mergeLayers(layers.map((entries, index) => ({ id: `layer-${index}`, entries })));
const paths = (tree: readonly TreeEntry[]): readonly string[] => tree.map(({ path }) => path);

describe("layers upon each other", () => {
  it("lets the upper one win and keeps directories", () => {
    const tree = merge([directory("a"), file("a/x"), file("a/y")], [directory("a"), file("a/x", { sizeBytes: 99 })]);
    expect(tree.map(({ path, sizeBytes, layer }) => [path, sizeBytes, layer])).toEqual([
      ["a", 0, "layer-1"],
      ["a/x", 99, "layer-1"],
      ["a/y", 10, "layer-0"],
    ]);
  });

  it("hides what a whiteout names, with everything below it", () => {
    expect(paths(merge([directory("a"), directory("a/b"), file("a/b/c"), file("z")], [directory("a"), file("a/.wh.b")]))).toEqual([
      "a",
      "z",
    ]);
  });

  it("hides only what lower layers have, wherever the whiteout stands in its own", () => {
    expect(paths(merge([file("a/old")], [file("a/new"), file("a/.wh..wh..opq"), file("b"), file(".wh.b")]))).toEqual(["a/new", "b"]);
  });

  it("hides a directory's content behind a file, and behind a file that becomes a directory again", () => {
    expect(paths(merge([directory("a"), file("a/x")], [file("a")], [directory("a"), file("a/y")]))).toEqual(["a", "a/y"]);
  });

  it("gives hard links the size of their target, and sorts by name bytewise, parents first", () => {
    const tree = merge([
      file("b", { sizeBytes: 7 }),
      file("a", { kind: "hardlink", linkTarget: "b", sizeBytes: 0 }),
      file("a-b"),
      directory("B"),
    ]);
    expect(tree.map(({ path, sizeBytes, kind }) => [path, sizeBytes, kind])).toEqual([
      ["B", 0, "directory"],
      ["a", 7, "hardlink"],
      ["a-b", 10, "file"],
      ["b", 7, "file"],
    ]);
  });
});

describe("what changed between two trees", () => {
  it("tells added, removed and changed with their sizes", () => {
    const before = merge([file("keep"), file("gone", { sizeBytes: 3 }), file("grown", { sizeBytes: 5 }), file("mode")]);
    const entries = [file("keep"), file("grown", { sizeBytes: 8 }), file("mode", { mode: 0o755 }), file("new", { sizeBytes: 100 })];
    const after = mergeLayers([{ id: "other", entries }]);
    const changes = compareTrees(before, after);
    expect(changes.map((change) => [change.change, change.path, ...(change.change === "changed" ? change.aspects : [])])).toEqual([
      ["removed", "gone"],
      ["changed", "grown", "content"],
      ["changed", "mode", "mode"],
      ["added", "new"],
    ]);
    expect(totalsOf(changes)).toEqual({ added: 1, removed: 1, changed: 2, addedBytes: 100, removedBytes: 3, grownBytes: 3 });
  });

  it("compares contents of different layers by hash, else by size and time", () => {
    const one = (more: Partial<ListedEntry>): readonly TreeEntry[] => mergeLayers([{ id: "one", entries: [file("f", more)] }]);
    const two = (more: Partial<ListedEntry>): readonly TreeEntry[] => mergeLayers([{ id: "two", entries: [file("f", more)] }]);
    const aspects = (before: readonly TreeEntry[], after: readonly TreeEntry[]): unknown =>
      compareTrees(before, after).flatMap((change) => (change.change === "changed" ? change.aspects : []));
    expect(aspects(one({}), two({}))).toEqual([]);
    expect(aspects(one({}), two({ mtimeSeconds: 2 }))).toEqual(["content"]);
    expect(aspects(one({ sha256: "a" }), two({ sha256: "a", mtimeSeconds: 2 }))).toEqual([]);
    expect(aspects(one({ sha256: "a" }), two({ sha256: "b" }))).toEqual(["content"]);
  });

  it("sees owners, link texts, attributes and kinds, and times only on request", () => {
    const before = merge([
      file("a", { uid: 1 }),
      file("l", { kind: "symlink", linkTarget: "x" }),
      file("x", { xattrs: new Map([["user.a", Uint8Array.of(1)]]) }),
      file("k"),
    ]);
    const after = mergeLayers([
      { id: "layer-0", entries: [file("a"), file("l", { kind: "symlink", linkTarget: "y" }), file("x"), directory("k")] },
    ]);
    expect(compareTrees(before, after).map((change) => (change.change === "changed" ? change.aspects.join() : change.change))).toEqual([
      "owner",
      "kind",
      "link",
      "xattrs",
    ]);
    const later = mergeLayers([{ id: "layer-0", entries: [file("a", { mtimeSeconds: 9 })] }]);
    const earlier = mergeLayers([{ id: "layer-0", entries: [file("a")] }]);
    expect(compareTrees(earlier, later)).toEqual([]);
    expect(compareTrees(earlier, later, { times: true })).toHaveLength(1);
  });
});
