import { existsSync } from "node:fs";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { BakehouseError } from "../core/errors.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { Retention } from "../core/retention/model.ts";
import type { GarbageReport } from "../engine/collect-garbage.ts";
import type { Delivery } from "../ports/notice-log.ts";
import type { LoadedRecipe } from "./create-bakehouse.ts";
import { noticeFor } from "./announce.ts";
import { openCycles, type CyclesOptions } from "./cycles.ts";

/** What recipes say about their images, for gc. */
export interface RetentionRules {
  rules(recipe: string): Retention | "unreadable" | undefined;
  /** Recipes that are there and cannot be read, with the reason. */
  readonly unreadable: readonly { readonly file: string; readonly message: string }[];
  /** Tells those whom the recipes name what became of their images. @returns what could not be delivered */
  tell(report: GarbageReport, signal: AbortSignal): Promise<readonly Delivery[]>;
}

/**
 * Reads the recipes that the images of a store were baked from: those given, and for every other name the file that it was baked
 * from last. A recipe whose file is gone has no rules any more; one that is broken for the moment keeps all that it has.
 */
export async function withRetention<T>(
  options: CyclesOptions,
  given: readonly string[],
  from: string,
  work: (retention: RetentionRules) => Promise<T>,
): Promise<T> {
  const cycles = openCycles(options);
  const { bakehouse } = cycles;
  try {
    const recipes = new Map<string, LoadedRecipe | "unreadable">();
    const unreadable: { readonly file: string; readonly message: string }[] = [];
    for (const path of given) {
      const loaded = bakehouse.load(path, { from });
      recipes.set(loaded.recipe.name, loaded);
    }
    const names = new Set(bakehouse.parts.store.images.entries().map(({ annotations }) => annotations[ANNOTATIONS.recipe] ?? ""));
    for (const { recipe, file } of await bakehouse.parts.catalog().bakes({ limit: 10_000 })) {
      if (recipes.has(recipe) || !names.has(recipe) || !existsSync(file)) continue;
      try {
        recipes.set(recipe, bakehouse.load(file));
      } catch (error) {
        if (!(error instanceof BakehouseError)) throw error;
        recipes.set(recipe, "unreadable");
        unreadable.push({ file, message: error.message });
      }
    }
    return await work({
      rules: (recipe) => {
        const loaded = recipes.get(recipe);
        return loaded === "unreadable" ? loaded : loaded?.recipe.retention;
      },
      unreadable,
      tell: async (report, signal) => {
        const notices = [...recipes].flatMap(([name, loaded]) => {
          const data = loaded === "unreadable" ? undefined : goneOf(report, name);
          return data === undefined || loaded === "unreadable"
            ? []
            : [noticeFor(bakehouse, loaded.recipe, { type: "gc.completed", subject: name, data })];
        });
        if (notices.length === 0) return [];
        await bakehouse.parts.catalog().notices.add(notices);
        return cycles.deliver(signal);
      },
    });
  } finally {
    await cycles.close();
  }
}

/** What of one recipe is gone or set aside; nothing when nothing is. */
function goneOf({ items, removedBytes }: GarbageReport, recipe: string) {
  const going = items.filter(
    ({ kind, keep, name }) => !keep && ["image", "volume", "launch"].includes(kind) && name?.split("/")[0] === recipe,
  );
  if (going.length === 0) return undefined;
  const digests = (isAside: boolean): ImageDigest[] =>
    going.filter(({ until }) => (until !== undefined) === isAside).map(({ id }) => id as ImageDigest);
  return { removed: digests(false), setAside: digests(true), freedBytes: removedBytes };
}
