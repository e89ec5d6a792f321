import type { StepDefinition } from "../core/step.ts";
import { ansible } from "./ansible.ts";
import { copy } from "./copy.ts";
import { file } from "./file.ts";
import { oci } from "./oci.ts";
import { remove } from "./remove.ts";
import { rootfs } from "./rootfs.ts";
import { run } from "./run.ts";

/**
 * Every step that a recipe can name. Imported at once: a definition is a schema and a few functions, and the recipe's
 * parser needs all of the schemas. `registry.test.ts` compares this list with the folder.
 */
const ALL: readonly StepDefinition[] = [ansible, copy, file, oci, remove, rootfs, run];

export const steps: ReadonlyMap<string, StepDefinition> = new Map(ALL.map((step) => [step.id, step]));
