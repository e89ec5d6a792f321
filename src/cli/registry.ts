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
    name: "init",
    group: "Bake",
    summary: "Write a first recipe that bakes",
    load: () => import("./commands/init.ts"),
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
    name: "images",
    group: "Look at images",
    summary: "List the images of the store, newest first",
    load: () => import("./commands/images.ts"),
  },
  {
    name: "image show",
    group: "Look at images",
    summary: "Show where an image comes from and what it is made of",
    load: () => import("./commands/image-show.ts"),
  },
  {
    name: "image history",
    group: "Look at images",
    summary: "Show the steps that an image is made of, with what each added",
    load: () => import("./commands/image-history.ts"),
  },
  {
    name: "image tree",
    group: "Look at images",
    summary: "Show which image was baked onto which",
    load: () => import("./commands/image-tree.ts"),
  },
  {
    name: "image files",
    group: "Look at images",
    summary: "List the files of an image as `ls -l` does",
    load: () => import("./commands/image-files.ts"),
  },
  {
    name: "image diff",
    group: "Look at images",
    summary: "Compare two images: packages, files, settings",
    load: () => import("./commands/image-diff.ts"),
  },
  {
    name: "image mount",
    group: "Look at images",
    summary: "Mount an image read-only at a folder, or list such mounts",
    load: () => import("./commands/image-mount.ts"),
  },
  {
    name: "image unmount",
    group: "Look at images",
    summary: "End the mount of an image",
    load: () => import("./commands/image-unmount.ts"),
  },
  {
    name: "shell",
    group: "Look at images",
    summary: "Open a shell in an image, or in what a failed step left",
    load: () => import("./commands/shell.ts"),
  },
  {
    name: "export",
    group: "Look at images",
    summary: "Write an image as a tar, folder, OCI layout, squashfs or erofs",
    load: () => import("./commands/export.ts"),
  },
  {
    name: "launch-files",
    group: "Look at images",
    summary: "Write what machines are given at launch: user-data and payload",
    load: () => import("./commands/launch-files.ts"),
  },
  {
    name: "bakes",
    group: "Look at images",
    summary: "List the bakes of this store, or show the steps of one",
    load: () => import("./commands/bakes.ts"),
  },
  {
    name: "logs",
    group: "Look at images",
    summary: "Show what the steps of a bake printed",
    load: () => import("./commands/logs.ts"),
  },
  {
    name: "import",
    group: "Keep the store",
    summary: "Take an image into the store",
    load: () => import("./commands/import.ts"),
  },
  {
    name: "verify",
    group: "Keep the store",
    summary: "Read the whole store again and say what is damaged",
    load: () => import("./commands/verify.ts"),
  },
  {
    name: "gc",
    group: "Keep the store",
    summary: "Show what nothing refers to any more, and remove it with --apply",
    load: () => import("./commands/gc.ts"),
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
