import { createHash } from "node:crypto";
import { hostAnsibleVersion } from "../adapters/local-host/ansible-version.ts";
import { readLockText, readRecipeFile } from "../adapters/local-host/recipe-files.ts";
import { readIfThere } from "../adapters/local-store/files.ts";
import { openLocalStore } from "../adapters/local-store/local-store.ts";
import { hashInputs } from "../adapters/recipe-inputs/hash-inputs.ts";
import { openStatCache } from "../adapters/recipe-inputs/stat-cache.ts";
import type { Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { BUILD } from "../core/version.ts";
import type { BakeResult } from "../engine/bake.ts";
import { findStanding, type AskedBake } from "../engine/standing-bake.ts";

export interface UnchangedRequest {
  /** Folder of the store. */
  readonly store: string;
  /** The recipe as it was named, and the folder that the name starts from. */
  readonly path: string;
  readonly from: string;
  readonly asked: AskedBake;
}

/**
 * The result of a bake that has nothing to do, found by a note of the last one: without reading recipe and lock, which takes longer
 * than all that is looked at here.
 *
 * @returns undefined when something changed, is wrong, or is not known: whoever bakes then finds out, and says what
 */
export function unchangedBake(request: UnchangedRequest): (BakeResult & { readonly recipe: string }) | undefined {
  const startedMs = performance.now();
  if (BUILD === undefined || readIfThere(`${request.store}/format`) === undefined) return undefined;
  try {
    const recipe = readRecipeFile(request.path, request.from);
    const lock = readLockText(recipe.lockFile);
    const store = openLocalStore(request.store);
    const statCache = openStatCache(store.path("stat-cache.json"));
    const hasher = {
      digestOf,
      hash: (folder: string, requests: Parameters<typeof hashInputs>[1]) => hashInputs(folder, requests, statCache),
      toolVersion: hostAnsibleVersion,
    };
    const found = findStanding(store, hasher, BUILD, recipe.folder, {
      file: recipe.file,
      recipe: digestOf(recipe.text),
      ...(lock === undefined ? {} : { lock: digestOf(lock) }),
      asked: request.asked,
    });
    if (found === undefined) return undefined;
    if (!store.readOnly) statCache.save();
    return { images: found.images, hits: found.hits, baked: 0, durationMs: performance.now() - startedMs, recipe: recipe.shownAs };
  } catch (error) {
    if (error instanceof BakehouseError) return undefined;
    throw error;
  }
}

const digestOf = (text: string): Sha256 => `sha256:${createHash("sha256").update(text).digest("hex")}`;
