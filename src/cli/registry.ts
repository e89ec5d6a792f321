import type { CommandRow } from "./command.ts";

/** In the order of the help. A test compares it with the folder `commands/`. */
export const COMMANDS: readonly CommandRow[] = [
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
