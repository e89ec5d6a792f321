import { launchedLayers } from "../launch/launched-layers.ts";
import type { Inspection, Mapping } from "./inspect.ts";
import { isMapping } from "./inspect.ts";
import type { AptRepository, Cake, RecipeLayer } from "./model.ts";
import type { ReadStep } from "./steps.ts";

interface CakeLayer {
  readonly name: string;
  readonly from: RecipeLayer["from"];
  readonly steps: readonly (ReadStep | undefined)[];
  readonly written: Mapping;
}

/** Tells everything of the launched layers that a machine cannot do by itself when it starts. */
export function checkCake(inspection: Inspection, cake: Cake, layers: readonly CakeLayer[]): void {
  if (cake === "baked") return;
  const names = launchedLayers(cake, layers);
  const launched = layers.filter(({ name }) => names.has(name));
  if (launched.length === 0) {
    inspection.error(
      ["cake"],
      `with "${cake}" something must be left for the launch, and no layer stands on another`,
      "add a layer `from:` another, or write `cake: baked`",
    );
  }
  for (const layer of launched) {
    if (isMapping(layer.written["release"]))
      inspection.error(
        ["layers", layer.name, "release"],
        `a volume is baked, and with \`cake: ${cake}\` this layer comes at launch`,
        "remove `release:`, or write `cake: baked`",
        "key",
      );
    for (const step of layer.steps) if (step !== undefined) checkStep(inspection, cake, step);
  }
}

function checkStep(inspection: Inspection, cake: Cake, { definition, path, step }: ReadStep): void {
  if (definition.atLaunch === undefined)
    inspection.error(
      [...path, definition.id],
      `"${definition.id}" cannot be done at launch, and with \`cake: ${cake}\` this layer is`,
      "move it to a layer that is baked, or write `cake: baked`",
      "key",
    );
  if (step !== undefined && step.secrets.length > 0)
    inspection.error(
      [...path, "secrets"],
      `a machine has no secrets of the recipe at launch, and with \`cake: ${cake}\` this layer comes then`,
      "have the machine fetch them itself, or write `cake: baked`",
      "key",
    );
}

/** A folder of whoever bakes is not there when a machine installs packages by itself. */
export function checkRepositories(inspection: Inspection, cake: Cake, repositories: readonly AptRepository[]): void {
  if (cake !== "boot") return;
  for (const { name, url } of repositories)
    if (url.startsWith("file:"))
      inspection.error(
        ["repositories", name, "url"],
        `a machine has no ${url}, and with \`cake: boot\` it installs packages itself`,
        "serve it over http, or write `cake: software`",
      );
}
