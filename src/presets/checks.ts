import { dirname } from "node:path";
import type { CheckImageParts } from "../engine/check-image.ts";
import type { ImageMachineParts } from "../engine/image-machine.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Cells } from "../ports/cells.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Clock } from "../ports/host.ts";
import type { Papers } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";
import { newBakeId } from "../adapters/local-host/clock.ts";
import { crashAt } from "../adapters/local-host/crash-at.ts";
import { checks } from "../checks/registry.ts";

export interface CheckPresetParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly baker: string;
  readonly tool: string;
  readonly papers: Papers;
  catalog(): Catalog | Promise<Catalog>;
  cells(): Promise<Cells>;
  trees(): Promise<ImageTrees>;
  imageMachines(): Promise<ImageMachineParts>;
}

/** Node's names for processors, in OCI's words. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };

/** What a run of checks needs, from the parts of either preset. */
export function checkParts(parts: CheckPresetParts, env: Readonly<Record<string, string | undefined>>): CheckImageParts {
  const services = () => import("../adapters/check-services/index.ts");
  return {
    ...parts,
    checks,
    reach: crashAt(env["BAKEHOUSE_CRASH_AT"]),
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    newId: () => `check-${newBakeId(new Date())}`,
    openTree: async (source) => (await services()).openCheckTree(await parts.trees(), source),
    derive: async (source, files, signal) => (await services()).deriveTree(parts.store, source, files, signal),
    openHost: async () => (await services()).hostPrograms(env),
    secrets: async (declared, recipe) => {
      const hasFiles = declared.some(({ file }) => file !== undefined);
      const folders = hasFiles ? await foldersOf(await parts.catalog(), recipe) : [];
      return (await services()).knownSecrets(declared, { environment: env, folders });
    },
  };
}

/** Where a recipe was baked from, as this store remembers it, the newest first. */
const foldersOf = async (catalog: Catalog, recipe: string): Promise<readonly string[]> => [
  ...new Set((await catalog.bakes()).filter((bake) => bake.recipe === recipe).map(({ file }) => dirname(file))),
];
