import { chmodSync, lchownSync, mkdirSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import type { ScenarioFile } from "../../core/checks/check.ts";
import { STORE_CONTENT_LOCK } from "../../core/store-lock.ts";
import type { TreeSource } from "../../ports/image-trees.ts";
import type { Store } from "../../ports/store.ts";
import { overlayDiffs } from "../overlay-diffs/index.ts";

/** Any time: what is derived is never an image. */
const EPOCH_SECONDS = 1_735_689_600;

/**
 * The tree of an image with further files in it, as one more diff upon its own. Nothing names that diff afterwards, so `gc` takes
 * it away; the same files again find it there.
 */
export async function deriveTree(
  store: Store,
  source: TreeSource,
  files: readonly ScenarioFile[],
  signal: AbortSignal,
): Promise<TreeSource> {
  if (files.length === 0) return source;
  const id = `self-test-${randomUUID()}`;
  const folder = store.workFolder(id);
  try {
    const upper = join(folder, "upper");
    mkdirSync(upper, { mode: 0o755 });
    for (const file of files) put(upper, file);
    return await store.withLock(STORE_CONTENT_LOCK, { signal }, async () => {
      const tar = join(folder, "diff.tar");
      const { diffId } = await overlayDiffs().write({
        directory: upper,
        target: tar,
        epochSeconds: EPOCH_SECONDS,
        lowerHasDirectory: () => true,
        signal,
      });
      if (!store.blobs.has(diffId)) store.blobs.adopt(tar, diffId);
      if (!store.diffs.has(diffId)) store.diffs.adopt(upper, diffId);
      return { ...source, diffs: [...source.diffs, diffId] };
    });
  } finally {
    store.releaseWorkFolder(id);
  }
}

function put(upper: string, { path, content, mode = 0o644, uid = 0 }: ScenarioFile): void {
  const target = join(upper, path);
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  writeFileSync(target, content);
  lchownSync(target, uid, uid);
  chmodSync(target, mode);
}
