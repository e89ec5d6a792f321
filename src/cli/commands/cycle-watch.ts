import type { CycleResult } from "../../engine/run-cycle.ts";
import type { Turn } from "../../engine/cycle-turn.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";
import { describeResult, tellCycle, tellGivenUp } from "../cycle/words.ts";
import { withCycles } from "../cycle/with-cycles.ts";
import { formatTime } from "../images/words.ts";

export const command = defineCommand({
  name: "cycle watch",
  summary: "Run cycles when they are due, until it is stopped",
  description: `A scheduler for a service or a terminal. Recipes are read anew at each turn, so that they may be edited meanwhile. It sleeps until
something is due, and looks at the clock once a minute in case that was set. SIGTERM and Ctrl-C stop it in order: a run that is at work
stops at its next safe point and goes on with the next start. Any number of schedulers may watch the same recipes: each run is made once.`,
  arguments: {
    recipes: {
      required: false,
      many: true,
      completes: "file",
      summary: "Recipes or their folders; all whose cycle ran in this store if absent",
    },
  },
  examples: [
    { line: "cycle watch examples/shop", does: "Until Ctrl-C" },
    { line: "cycle watch", does: "Every cycle of this store" },
  ],
  reports: true,
  run: async ({ args, global, terminal, folder, env, signal, report }) => {
    const { turnCascade } = await import("../../engine/cascade.ts");
    const { watchCycles } = await import("../../engine/watch-cycles.ts");
    const { sleep } = await import("../../adapters/local-host/clock.ts");
    return withCycles({ global, terminal, env, report }, async (cycles) => {
      const results: CycleResult[] = [];
      const { yellow, red } = terminal.errorColors;
      const turn = {
        signal,
        report: (event: Parameters<typeof tellCycle>[0]) => {
          tellCycle(event, terminal);
          if (event.type === "run-ended") terminal.err(describeResult(event.result, terminal));
        },
        note: (message: string) => terminal.err(`${yellow("note")} ${message}\n`),
      };
      const broken = new Map<string, string>();
      const takeTurns = async (): Promise<readonly Turn[]> => {
        const turns: Turn[] = [];
        const files = args.recipes.length > 0 ? args.recipes : (await cycles.parts.records().known()).map(({ file }) => file);
        for (const file of files) {
          if (signal.aborted) break;
          try {
            const done = await turnCascade(cycles.parts, cycles.work(file, { from: folder }), turn);
            broken.delete(file);
            turns.push(done);
            results.push(...done.results);
          } catch (error) {
            if (!(error instanceof BakehouseError)) throw error;
            // told once, and tried again with each turn
            if (!signal.aborted && broken.get(file) !== error.message) terminal.err(`${red(error.code)} ${error.message}\n`);
            broken.set(file, error.message);
          }
        }
        tellGivenUp(await cycles.deliver(signal), terminal);
        return turns;
      };
      for (const file of args.recipes) cycles.work(file, { from: folder });
      await cycles.tidy();
      await watchCycles({
        signal,
        now: () => cycles.parts.clock.now(),
        sleep,
        turns: takeTurns,
        idle: (until) =>
          terminal.err(
            until === undefined
              ? "Nothing will be due (Ctrl-C ends it)\n"
              : `Waiting until ${formatTime(until.toISOString())} (Ctrl-C ends it)\n`,
          ),
      });
      return { runs: results };
    });
  },
  render: ({ runs }, { terminal }) =>
    runs.length === 0
      ? "Stopped.\n"
      : `Stopped after ${runs.length === 1 ? "one run" : `${runs.length} runs`}.\n${terminal.colors.dim("bakehouse cycle history")}\n`,
});
