import type { StepDefinition } from "../core/step.ts";
import { ansible } from "./ansible.ts";
import { apt } from "./apt.ts";
import { copy } from "./copy.ts";
import { deb } from "./deb.ts";
import { debian } from "./debian.ts";
import { disk } from "./disk.ts";
import { fetch } from "./fetch.ts";
import { file } from "./file.ts";
import { group } from "./group.ts";
import { oci } from "./oci.ts";
import { remove } from "./remove.ts";
import { rootfs } from "./rootfs.ts";
import { run } from "./run.ts";
import { sysctl } from "./sysctl.ts";
import { system } from "./system.ts";
import { systemd } from "./systemd.ts";
import { user } from "./user.ts";

/**
 * Every step that a recipe can name, by id. Imported at once: a definition is a schema and a few functions, and the recipe's
 * parser needs all of the schemas. `registry.test.ts` compares this list with the folder.
 */
export const stepsById = {
  ansible,
  apt,
  copy,
  deb,
  debian,
  disk,
  fetch,
  file,
  group,
  oci,
  remove,
  rootfs,
  run,
  sysctl,
  system,
  systemd,
  user,
};

export const steps: ReadonlyMap<string, StepDefinition> = new Map<string, StepDefinition>(Object.entries(stepsById));
