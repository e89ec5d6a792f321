import type { FleetPlan } from "../../engine/plan-fleet-rollout.ts";
import type { RolloutView } from "../../engine/show-rollout.ts";
import { announce } from "../cycle/announce.ts";
import { FLEET_ARGUMENT, RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { liveRollout } from "../fleets/live.ts";
import { planLines, rolloutExitCode, rolloutLines, short } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_OPTIONS, imageOptions } from "../fleets/image-options.ts";

type Outcome =
  | { readonly nothing: true; readonly plan: FleetPlan }
  | { readonly waits: string; readonly id: string }
  | (RolloutView & { readonly detached?: true });

export const command = defineCommand({
  name: "rollout start",
  summary: "Bring a fleet to an image, step by step, and stop by itself when something breaks",
  description: `Plans it, shows the plan, and carries it out: until it has ended, or waits for people. Ctrl-C leaves it where it is; \`rollout watch --carry\` or
\`fleet watch\` goes on. A fleet has one rollout at a time. Exit code 1 when it ended without the fleet being on the image, or
stopped by itself; 4 when it waits for approvals or was paused.`,
  arguments: { fleet: FLEET_ARGUMENT },
  options: {
    recipe: RECIPE_OPTION,
    ...IMAGE_OPTIONS,
    plan: { value: "hash", summary: "Only if the plan is still this one", completes: "none" },
    detach: { summary: "Only write it down: `fleet watch` carries it out" },
  },
  examples: [
    { line: "rollout start web", does: "To the image that its channel points to" },
    { line: "rollout start web --plan 1f0c9be2a4d7", does: "Exactly as it was planned" },
  ],
  run: async ({ args, options, signal, ...context }) => {
    const { startRollout } = await import("../../engine/start-rollout.ts");
    const { followRollout } = await import("../../engine/follow-rollout.ts");
    const { showRollout } = await import("../../engine/show-rollout.ts");
    const { terminal, global } = context;
    const result = await withFleets(context, options.recipe, async (parts): Promise<Outcome> => {
      const started = await startRollout(parts, {
        ...imageOptions(args.fleet, options),
        ...(options.plan === undefined ? {} : { planHash: options.plan }),
      });
      const { id } = started;
      if (started.queued !== undefined) return { waits: started.queued, id: id ?? "" };
      if (id === undefined) return { nothing: true as const, plan: started };
      if (!global.quiet && !global.json) terminal.err(`${planLines(started, { ...terminal, colors: terminal.errorColors })}\n`);
      if (options.detach) return { ...showRollout(parts.records.open(id)), detached: true as const };
      const live = liveRollout(terminal, { quiet: global.quiet || global.json });
      const view = await followRollout(parts, { id, signal, carries: true, onView: live.show });
      live.end();
      return view;
    });
    await announce({ ...context, signal });
    return result;
  },
  render: (started, { terminal }) => {
    if ("waits" in started) return `${started.id} waits for ${started.waits}. Whoever carries the fleet begins it then.\n`;
    if ("nothing" in started) {
      const { fleet, release } = started.plan;
      return `Every instance of ${fleet.recipe}/${fleet.fleet.name} runs ${release.name} ${short(release.image)} already.\n`;
    }
    return `${rolloutLines(started, terminal)}${started.over ? "" : terminal.colors.dim(`bakehouse rollout explain ${started.id}\n`)}`;
  },
  exitCode: (started) => ("nothing" in started || "waits" in started || started.detached === true ? 0 : rolloutExitCode(started)),
});
