import { formatLockChanges } from "../../core/lock/lock-diff.ts";
import { defineCommand } from "../command.ts";
import { parameterOverrides, RECIPE_ARGUMENT, RECIPE_OPTIONS, warn } from "../recipe/recipe-options.ts";
import { count } from "../text.ts";

export const command = defineCommand({
  name: "lock",
  summary: "Write down exactly what a recipe is baked from",
  description: `Resolves packages (versions, SHA-256, sizes), images and recorded network answers, verifies the repositories' signatures, keeps
the bytes in the store, and writes bakehouse.lock beside the recipe. What is locked stays as it is unless --update asks for newer.`,
  arguments: { recipe: RECIPE_ARGUMENT },
  options: {
    ...RECIPE_OPTIONS,
    update: { summary: "Move all versions to the newest" },
    package: {
      value: "name",
      many: true,
      summary: "With --update: move only this package, or all of this step (base/tools), recordings too",
    },
    allowExpired: { summary: "Take a repository whose release file is past its date" },
    check: { summary: "Write nothing; exit code 4 when the lock would change" },
  },
  examples: [
    { line: "lock", does: "Lock what is not locked yet" },
    { line: "lock --update", does: "Everything to the newest, with the difference" },
    { line: "lock --update --package openssl", does: "Only openssl" },
    {
      line: "lock --update --package base/tools",
      does: "Only what the step base/tools has: its packages, and what it fetches if that is recorded",
    },
  ],
  reports: true,
  run: async ({ args, options, global, terminal, folder, env, signal, report }) => {
    const { createBakehouse } = await import("../../presets/create-bakehouse.ts");
    const bakehouse = createBakehouse({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
    try {
      const loaded = bakehouse.load(args.recipe, { from: folder, parameters: parameterOverrides(options.set) });
      if (!global.json && !global.quiet) warn(loaded, terminal);
      const outcome = await bakehouse.lock(loaded, {
        update: options.package.length > 0 ? options.package : options.update,
        allowExpired: options.allowExpired,
        signal,
        onEvent: report,
        write: !options.check,
      });
      const packages = Object.values(outcome.lock.steps).reduce(
        (sum, step) => sum + (step.packages?.length ?? 0) + (step.lent?.length ?? 0),
        0,
      );
      const { written, changed, changes, warnings } = outcome;
      return { file: loaded.lockFile, written, changed, changes, warnings, packages };
    } finally {
      await bakehouse.close();
    }
  },
  render: (result, { terminal, options }) => {
    const { bold, dim } = terminal.colors; // warnings were told when they arose
    if (!result.changed) return `${bold("The lock is up to date")} ${dim(`(${count(result.packages, "package")}, ${result.file})`)}\n`;
    const done = options.check ? "The lock would change" : "Locked";
    return `${formatLockChanges(result.changes)
      .map((line) => `  ${line}\n`)
      .join("")}${bold(`${done}: ${count(result.packages, "package")}`)} ${dim(result.file)}\n`;
  },
  exitCode: ({ changed, written }) => (changed && !written ? 4 : 0),
});
