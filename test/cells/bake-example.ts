import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { inject } from "vitest";
import type { BakeResult } from "../../src/engine/bake-input.ts";
import { createBakehouse, type Bakehouse, type LoadedRecipe } from "../../src/presets/create-bakehouse.ts";
import { copyTree, debianStore, once } from "../shared-store.ts";

const repository = dirname(dirname(import.meta.dirname));

export interface BakedExample {
  readonly bakehouse: Bakehouse;
  readonly loaded: LoadedRecipe;
  readonly result: BakeResult;
  /** A copy of the recipe's folder. */
  readonly folder: string;
  dispose(): Promise<void>;
}

/**
 * Locks and bakes a recipe of `examples/` or `templates/`, in a copy of its folder. All share one store, which starts with
 * the Debian foundation of this run, so that each costs only what is its own.
 *
 * @param path  of the recipe's folder or file, from the top of the repository
 * @param options.apart  in a store of its own instead, where nobody else starts or stops cells
 */
export async function bakeExample(path: string, options: { readonly apart?: boolean } = {}): Promise<BakedExample> {
  const folder = mkdtempSync(join(inject("runFolder"), "example-"));
  const begin = async (target: string): Promise<void> => copyTree((await debianStore()).store, target);
  const store = options.apart === true ? `${folder}.store` : await once("examples", begin);
  if (options.apart === true) await begin(store);
  const isFile = path.endsWith(".yaml");
  cpSync(join(repository, isFile ? dirname(path) : path), folder, { recursive: true, filter: (source) => !source.endsWith(".lock") });
  const bakehouse = createBakehouse({ store });
  const dispose = async (): Promise<void> => {
    await bakehouse.close();
    for (const made of [folder, ...(options.apart === true ? [store] : [])]) rmSync(made, { recursive: true, force: true });
  };
  try {
    const loaded = bakehouse.load(isFile ? join(folder, path.slice(dirname(path).length + 1)) : folder);
    await bakehouse.lock(loaded);
    return { bakehouse, loaded, result: await bakehouse.bake(loaded), folder, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}
