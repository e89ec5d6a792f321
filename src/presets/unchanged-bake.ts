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
import type { BakeResult } from "../engine/bake-input.ts";
import { findStanding, type AskedBake } from "../engine/standing-bake.ts";
import { hashOnce, type LookedInputs } from "../engine/step-key.ts";

export interface UnchangedRequest {
  /** Folder of the store. */
  readonly store: string;
  /** The recipe as it was named, and the folder that the name starts from. */
  readonly path: string;
  readonly from: string;
  readonly asked: AskedBake;
}

/** `result`: absent when something changed, is wrong, or is not known: whoever bakes then finds out, and says what. */
export interface Unchanged {
  readonly result?: BakeResult & { readonly recipe: string };
  /** What was looked at for that, so that whoever bakes need not look again. */
  readonly looked?: LookedInputs;
}

/**
 * The result of a bake that has nothing to do, found by a note of the last one: without reading recipe and lock, which takes longer
 * than all that is looked at here.
 */
export function unchangedBake(request: UnchangedRequest): Unchanged {
  const startedMs = performance.now();
  if (BUILD === undefined || readIfThere(`${request.store}/format`) === undefined) return {};
  try {
    const recipe = readRecipeFile(request.path, request.from);
    const lock = readLockText(recipe.lockFile);
    const store = openLocalStore(request.store);
    const statCache = openStatCache(store.path("stat-cache.json"));
    const hasher = hashOnce({ hash: (folder, requests) => hashInputs(folder, requests, statCache), toolVersion: hostAnsibleVersion });
    const found = findStanding(store, { ...hasher, digestOf }, BUILD, recipe.folder, {
      file: recipe.file,
      recipe: digestOf(recipe.text),
      ...(lock === undefined ? {} : { lock: digestOf(lock) }),
      asked: request.asked,
    });
    if (found === undefined) return { looked: hasher.looked };
    if (!store.readOnly) statCache.save();
    const result = { images: found.images, hits: found.hits, baked: 0, durationMs: performance.now() - startedMs, recipe: recipe.shownAs };
    return { result };
  } catch (error) {
    if (error instanceof BakehouseError) return {};
    throw error;
  }
}

const digestOf = (text: string): Sha256 => `sha256:${createHash("sha256").update(text).digest("hex")}`;
