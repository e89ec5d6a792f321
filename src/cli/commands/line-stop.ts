import { BakehouseError } from "../../core/errors.ts";
import { DURATION, parseDuration } from "../../core/recipe/duration.ts";
import { announce } from "../cycle/announce.ts";
import { AS_OPTION } from "../fleets/control.ts";
import { stopText } from "../fleets/words.ts";
import { RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "line stop",
  summary: "Stop the line: no rollout begins anything new",
  description: `For one fleet or all. What is under way is finished, and what went back goes on going back. It holds until its time is over or somebody
releases it, also when every process is started again. Who stopped it and why stands in the audit log.`,
  arguments: { fleet: { required: false, summary: "Only this fleet; default every fleet of the store", completes: "none" } },
  options: {
    recipe: RECIPE_OPTION,
    reason: { value: "text", summary: "Why (needed)", completes: "none" },
    for: { value: "span", summary: "It ends by itself after that time: 2h, 1d", completes: "none" },
    until: { value: "time", summary: "It ends by itself then: 2026-12-01T08:00:00Z", completes: "none" },
    except: { value: "image", many: true, summary: "This image may go out all the same", completes: "none" },
    as: AS_OPTION,
  },
  examples: [
    { line: 'line stop --reason "payment is down" --for 2h', does: "Everything, for two hours" },
    { line: 'line stop web --reason "a bad header" --except shop/release', does: "One fleet, but for what mends it" },
  ],
  run: async ({ args, options, ...context }) => {
    const { stopLine } = await import("../../engine/stop-line.ts");
    const { reason, as, except } = options;
    if (reason === undefined)
      throw new BakehouseError("USAGE", "--reason is missing: whoever finds the line stopped wants to know why", {
        hint: '--reason "why"',
      });
    const until = untilOf(options);
    const stopped = await withFleets(context, options.recipe, (parts) =>
      stopLine(parts, {
        ...(args.fleet === undefined ? {} : { fleet: args.fleet }),
        ...(until === undefined ? {} : { until }),
        ...(as === undefined ? {} : { as }),
        ...{ reason, except: except ?? [] },
      }),
    );
    await announce(context);
    return stopped;
  },
  render: (stop, { terminal }) =>
    `${stopText(stop, terminal.colors)}\n${terminal.colors.dim(`bakehouse line release ${stop.id} --reason "it is mended"`)}\n`,
});

function untilOf(options: { readonly for: string | undefined; readonly until: string | undefined }): Date | undefined {
  if (options.for !== undefined && options.until !== undefined)
    throw new BakehouseError("USAGE", "Give --for or --until, and not both", { hint: "--for 2h" });
  if (options.for !== undefined) {
    if (!DURATION.test(options.for) || parseDuration(options.for) <= 0)
      throw new BakehouseError("USAGE", `--for takes a span, and not ${JSON.stringify(options.for)}`, { hint: "--for 2h, --for 30m" });
    return new Date(Date.now() + parseDuration(options.for));
  }
  if (options.until === undefined) return undefined;
  const time = new Date(options.until);
  if (Number.isNaN(time.getTime()))
    throw new BakehouseError("USAGE", `--until takes a time, and not ${JSON.stringify(options.until)}`, {
      hint: "--until 2026-12-01T08:00:00Z",
    });
  return time;
}
