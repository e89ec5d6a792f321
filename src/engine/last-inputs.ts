import type { Recipe } from "../core/recipe/model.ts";
import { hexOf } from "../core/digest.ts";
import type { EngineParts } from "./parts.ts";
import type { StepFacts } from "./step-key.ts";

/** By step address: the inputs of the last bake of this recipe file. Only to say what changed; never to decide. */
export type LastInputs = Readonly<Record<string, StepFacts>>;

const fileOf = (parts: EngineParts, recipe: Recipe): string => `plans/${hexOf(parts.hasher.digestOf(recipe.file))}.json`;

/** Reads the note when something has to be explained, and not before. */
export function lastInputs(parts: EngineParts, recipe: Recipe): () => LastInputs {
  let read: LastInputs | undefined;
  return () => (read ??= (parts.store.readNote(fileOf(parts, recipe)) ?? {}) as LastInputs);
}

export function saveLastInputs(parts: EngineParts, recipe: Recipe, facts: LastInputs): void {
  parts.store.writeNote(fileOf(parts, recipe), { ...lastInputs(parts, recipe)(), ...facts });
}
