import type { CycleResult } from "../../engine/run-cycle.ts";
import { defineCommand } from "../command.ts";
import { describeResult, exitCodeOf, tellCycle, tellGivenUp } from "../cycle/words.ts";
import { withCycles } from "../cycle/with-cycles.ts";
import { RECIPE_ARGUMENT } from "../recipe/recipe-options.ts";

export const command = defineCommand({
  name: "cycle run",
  summary: "Bake a recipe again from the newest, up to a candidate",
  description: `One run: the newest of everything is locked, baked, checked, its papers are written, the recipe's lock is replaced, and the candidate is
promoted to the first channel if its gates allow. Each stage is recorded before it begins: a run that died goes on where it was with the
next \`cycle run\` or \`cycle watch\`. A run that fails leaves the recipe's lock as it was. Afterwards recipes that stand on the new image, and that
a cycle has run for before, take their turn (\`triggers: [parent]\`).

The exit code is 0 for a candidate and when nothing changed; that of the error when the run failed (6: a check did not pass, 4: a mirror went back in time).`,
  arguments: { recipe: RECIPE_ARGUMENT },
  options: {
    due: { summary: "Only if schedule or triggers make it due, and in a maintenance window: for timers of your own" },
    alone: { summary: "Leave recipes that stand on this one alone" },
  },
  examples: [
    { line: "cycle run", does: "Now, whatever the schedule says" },
    { line: "cycle run shop --due", does: "What `cycle watch` would do now, once" },
  ],
  reports: true,
  run: async ({ args, options, global, terminal, folder, env, signal, report }) => {
    const { runCascade, turnCascade } = await import("../../engine/cascade.ts");
    const { takeTurn } = await import("../../engine/cycle-turn.ts");
    return withCycles(
      { global, terminal, env, report },
      async (cycles): Promise<{ readonly runs: readonly CycleResult[]; readonly why?: string }> => {
        const work = cycles.work(args.recipe, { from: folder });
        const isTold = !global.quiet && !global.json;
        const turn = {
          signal,
          report: isTold ? (event: Parameters<typeof tellCycle>[0]) => tellCycle(event, terminal) : () => undefined,
          note: (message: string) => terminal.err(`${terminal.errorColors.yellow("note")} ${message}\n`),
          onWait: (owner: string) => terminal.err(`Waiting for ${owner}\n`),
        };
        try {
          await cycles.tidy();
          if (!options.due)
            return {
              runs: await runCascade(cycles.parts, work, [{ kind: "asked", by: cycles.parts.baker }], { ...turn, alone: options.alone }),
            };
          const { results, why } = await (options.alone ? takeTurn : turnCascade)(cycles.parts, work, turn);
          return { runs: results, why };
        } finally {
          tellGivenUp(await cycles.deliver(signal), terminal);
        }
      },
    );
  },
  render: ({ runs, ...rest }, { terminal }) =>
    runs.length === 0
      ? `No run: ${"why" in rest && rest.why !== undefined ? rest.why : "another process made it"}.\n`
      : runs.map((result) => describeResult(result, terminal)).join(""),
  exitCode: ({ runs }) => exitCodeOf(runs),
});
