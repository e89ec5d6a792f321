import type { CycleStatus } from "../../engine/cycle-status.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { outcomeWord } from "../cycle/words.ts";
import { withCycles } from "../cycle/with-cycles.ts";
import { storeExists } from "../images/with-images.ts";
import { facts, formatAge, formatTime } from "../images/words.ts";

export const command = defineCommand({
  name: "cycle status",
  summary: "Show how the cycles of recipes stand",
  arguments: {
    recipes: {
      required: false,
      many: true,
      completes: "file",
      summary: "Recipes or their folders; all whose cycle ran in this store if absent",
    },
  },
  examples: [
    { line: "cycle status", does: "Every cycle of this store: what is due, when, and how the last run ended" },
    { line: "cycle status examples/shop", does: "Only this recipe's" },
  ],
  run: async ({ args, global, terminal, folder, env, report }) => {
    const { cycleStatus } = await import("../../engine/cycle-status.ts");
    const given = args.recipes;
    if (given.length === 0 && !storeExists(global.store)) return { cycles: [], broken: [] };
    return withCycles({ global, terminal, env, report }, async (cycles) => {
      const known = given.length > 0 ? given : (await cycles.parts.records().known()).map(({ file }) => file);
      const statuses: CycleStatus[] = [];
      const broken: { readonly file: string; readonly message: string }[] = [];
      for (const path of known) {
        try {
          statuses.push(await cycleStatus(cycles.parts, cycles.work(path, { from: folder })));
        } catch (error) {
          if (given.length > 0 || !(error instanceof BakehouseError)) throw error;
          broken.push({ file: path, message: error.message });
        }
      }
      return { cycles: statuses, broken };
    });
  },
  render: ({ cycles, broken }, { terminal, global }) => {
    if (cycles.length + broken.length === 0) return `No cycle has run in ${global.store} yet: bakehouse cycle run RECIPE\n`;
    const { dim, red, bold } = terminal.colors;
    const shown = cycles.map((cycle) =>
      facts(
        [
          ["recipe", `${bold(cycle.recipe)} ${dim(cycle.file)}`],
          ["state", stateWord(cycle)],
          ["schedule", cycle.schedule ?? ""],
          ["next", cycle.next === undefined ? "" : formatTime(cycle.next)],
          [
            "triggers",
            cycle.triggers.length === 0
              ? ""
              : `${cycle.triggers.join(", ")}${cycle.lookedAt === undefined ? "" : dim(` looked at ${formatAge(cycle.lookedAt)}`)}`,
          ],
          ["found", cycle.found.map(({ trigger, what }) => `${trigger}: ${what}`).join("\n")],
          [
            "window",
            cycle.window === "open"
              ? ""
              : `${cycle.window}${cycle.windowOpensAt === undefined ? "" : `, opens ${formatTime(cycle.windowOpensAt)}`}`,
          ],
          [
            "last run",
            cycle.last === undefined
              ? "none"
              : `${outcomeWord(cycle.last.outcome, terminal.colors)} ${formatAge(cycle.last.startedAt)} ${dim(cycle.last.id)}${cycle.last.message === undefined ? "" : `\n${cycle.last.message}`}`,
          ],
        ],
        terminal,
      ),
    );
    return [...shown, ...broken.map(({ file, message }) => `${red("not readable")} ${file}\n${message}\n`)].join("\n");
  },
});

function stateWord({ state, missed }: CycleStatus): string {
  const words = {
    due: missed > 1 ? `due; ${missed} runs were missed, one catches up` : "due",
    waiting: "waiting",
    running: "running",
    unfinished: "a run was left behind: bakehouse cycle run goes on with it",
    new: "not seen by a scheduler yet: bakehouse cycle watch",
  };
  return words[state];
}
