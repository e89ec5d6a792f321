import type { CommandRow } from "./command.ts";

/** In the order of the help. A test compares it with the folder `commands/`. */
export const COMMANDS: readonly CommandRow[] = [
  {
    name: "bake",
    group: "Bake",
    summary: "Bake what changed, from a recipe to images",
    load: () => import("./commands/bake.ts"),
  },
  {
    name: "plan",
    group: "Bake",
    summary: "Show what would be baked, and why",
    load: () => import("./commands/plan.ts"),
  },
  {
    name: "lock",
    group: "Bake",
    summary: "Write down exactly what a recipe is baked from",
    load: () => import("./commands/lock.ts"),
  },
  {
    name: "schema",
    group: "Bake",
    summary: "Print the JSON Schema of recipes, for editors",
    load: () => import("./commands/schema.ts"),
  },
  {
    name: "doctor",
    group: "This machine",
    summary: "Show what this machine has and lacks for baking",
    load: () => import("./commands/doctor.ts"),
  },
  {
    name: "completion",
    group: "This machine",
    summary: "Print a script that completes commands and options in your shell",
    load: () => import("./commands/completion.ts"),
  },
  {
    name: "version",
    group: "This machine",
    summary: "Show the versions of Bakehouse and what it runs on",
    load: () => import("./commands/version.ts"),
  },
];
