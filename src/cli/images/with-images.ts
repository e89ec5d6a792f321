import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { ImageParts } from "../../presets/images.ts";
import type { GlobalOptions } from "../command.ts";
import type { Terminal } from "../terminal.ts";

export interface StoreContext {
  readonly global: GlobalOptions;
  readonly terminal: Terminal;
}

/** Whether there is a store already. Commands that only look make none. */
export const storeExists = (folder: string): boolean => statSync(join(folder, "format"), { throwIfNoEntry: false }) !== undefined;

/** A list of nothing is the wrong answer for a mistyped folder. @throws IMAGE_NOT_FOUND when something else than a store is there */
export function refuseOtherThanStore(folder: string): void {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats === undefined || (stats.isDirectory() && readdirSync(folder).length === 0)) return;
  throw new BakehouseError("IMAGE_NOT_FOUND", `${folder} is no store`, { hint: "name another: --store DIR, or $BAKEHOUSE_HOME" });
}

/**
 * Opens the store for one command and closes it again.
 *
 * @param options.create  make the store when it is not there; default false
 * @throws IMAGE_NOT_FOUND when there is no store, and whatever `openLocalStore` throws
 */
export async function withImages<T>(
  { global, terminal }: StoreContext,
  work: (parts: ImageParts) => Promise<T>,
  options: { readonly create?: boolean } = {},
): Promise<T> {
  if (options.create !== true && !storeExists(global.store))
    throw new BakehouseError("IMAGE_NOT_FOUND", `There is no store at ${global.store}`, {
      hint: "bakehouse bake, to make one; --store DIR names another",
    });
  const { openImages } = await import("../../presets/images.ts");
  const parts = openImages({ store: global.store, warn: (message) => terminal.err(`${message}\n`) });
  try {
    return await work(parts);
  } finally {
    await parts.close();
  }
}

export const IMAGE_ARGUMENT = { summary: "Name (shop/release, shop), digest, or the beginning of a digest", completes: "none" } as const;
