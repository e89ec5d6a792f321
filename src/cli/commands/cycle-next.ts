import { describeSchedule } from "../../core/cycle/schedule-text.ts";
import { showLocal } from "../../core/cycle/zone.ts";
import { defineCommand } from "../command.ts";
import { withCycles } from "../cycle/with-cycles.ts";
import { formatTime } from "../images/words.ts";
import { RECIPE_ARGUMENT } from "../recipe/recipe-options.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "cycle next",
  summary: "Show when a recipe's cycle runs next",
  arguments: { recipe: RECIPE_ARGUMENT },
  options: { count: { value: "count", type: "count", default: 5, summary: "How many runs to show" } },
  examples: [{ line: "cycle next examples/shop --count 3", does: "The next three runs, in UTC and in the schedule's own zone" }],
  run: async ({ args, options, global, terminal, folder, env, report }) => {
    const { plannedRuns } = await import("../../engine/cycle-status.ts");
    return withCycles({ global, terminal, env, report }, (cycles) => {
      const { settings, recipe } = cycles.work(args.recipe, { from: folder });
      const { schedule, triggers } = settings;
      return Promise.resolve({
        recipe,
        schedule: schedule === undefined ? null : describeSchedule(schedule),
        zone: schedule?.kind === "cron" ? schedule.zone : "UTC",
        triggers,
        runs: plannedRuns({ settings }, cycles.parts.clock.now(), options.count),
      });
    });
  },
  render: ({ recipe, schedule, zone, triggers, runs }, { terminal }) => {
    if (schedule === null) return `${recipe} has no schedule: it runs when a trigger says so (${triggers.join(", ")}).\n`;
    const rows = runs.map(({ at, waitsUntil }) => [
      formatTime(at),
      zone === "UTC" ? "" : showLocal(new Date(at), zone),
      waitsUntil === undefined ? "" : waitsUntil === null ? "no window ever opens" : `waits for its window: ${formatTime(waitsUntil)}`,
    ]);
    return `${terminal.colors.dim(schedule)}\n${table([{ title: "run" }, { title: "" }, { title: "", minimum: 10 }], rows, { width: terminal.columns, styleTitle: terminal.colors.dim })}`;
  },
});
