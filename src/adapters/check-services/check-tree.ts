import { readFileSync } from "node:fs";
import type { RawPath } from "../../core/layer/raw-path.ts";
import type { CheckTree, TreeEntry } from "../../ports/check-services.ts";
import type { ImageTrees, TreeSource } from "../../ports/image-trees.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { hashFile } from "../image-trees/index.ts";
import { listDirectory } from "../image-trees/list-directory.ts";

/** Mounts an image's tree, read-only and for this process alone, for checks that only look. */
export async function openCheckTree(trees: ImageTrees, source: TreeSource): Promise<CheckTree & { close(): Promise<void> }> {
  const tree = await trees.open(source);
  return { ...checkTreeAt(tree.hostPath), close: () => tree.close() };
}

/** A tree that lies at a place of this machine. */
export function checkTreeAt(hostPath: string): CheckTree {
  const root = hostImageRoot(hostPath);
  let listed: ReadonlyMap<TreeEntry, RawPath> | undefined;
  const list = (): ReadonlyMap<TreeEntry, RawPath> => (listed ??= entriesOf(hostPath));
  return {
    root,
    hostPath,
    sha256: (path) => (root.stat(path)?.kind === "file" ? hashFile(root.resolve(path)) : undefined),
    entries: () => [...list().keys()],
    contentOf: (entry) => {
      const path = list().get(entry);
      if (path === undefined) throw new Error(`${entry.path} is no entry of this tree`);
      return readFileSync(Buffer.concat([Buffer.from(`${hostPath}/`), Buffer.from(path, "latin1")]));
    },
  };
}

const entriesOf = (hostPath: string): ReadonlyMap<TreeEntry, RawPath> =>
  new Map(
    listDirectory(hostPath).map(({ path, kind, mode, uid, gid, sizeBytes }) => [
      {
        // the listing has one character a byte; a name that is no UTF-8 keeps its place with a sign in it
        path: `/${Buffer.from(path, "latin1").toString("utf8")}`,
        kind: kind === "character-device" || kind === "block-device" ? "device" : (kind as TreeEntry["kind"]),
        mode,
        uid,
        gid,
        sizeBytes,
      },
      path,
    ]),
  );
