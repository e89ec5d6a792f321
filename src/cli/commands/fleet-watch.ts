import { announce } from "../cycle/announce.ts";
import { RECIPE_OPTION, withFleets } from "../fleets/with-fleets.ts";
import { progressLine } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "fleet watch",
  summary: "Look after fleets: heal them and carry their rollouts, until it is stopped",
  description: `For a service or a terminal. Instances that die are replaced, sizes are brought about, and rollouts that were started with
--detach, or whose process is gone, go on from where they were. Ctrl-C and SIGTERM stop it in order; whatever was under way is finished by
the next. One process looks after a fleet; a second one is refused.`,
  arguments: { fleets: { required: false, many: true, summary: "Names of fleets; default all", completes: "none" } },
  options: { recipe: RECIPE_OPTION },
  examples: [{ line: "fleet watch", does: "Every fleet of the store, until Ctrl-C" }],
  run: async ({ args, options, signal, ...context }) => {
    const { carryFleet } = await import("../../engine/carry-fleet.ts");
    const { carrying } = await import("../../engine/converge-fleet.ts");
    const { findFleet } = await import("../../engine/find-fleet.ts");
    const { viewOf } = await import("../../engine/show-rollout.ts");
    const { fleetKey } = await import("../../ports/fleet-records.ts");
    const { terminal } = context;
    const say = (key: string, text: string): void => terminal.err(`${new Date().toISOString().slice(11, 19)} ${key} ${text}\n`);
    return withFleets(context, options.recipe, async (parts) => {
      const named = args.fleets ?? [];
      const fleets = named.length === 0 ? parts.records.fleets() : named.map((name) => findFleet(parts.records, name));
      let turns = 0;
      await Promise.all(
        fleets.map((fleet) =>
          carrying(parts, fleetKey(fleet), `looks after fleet ${fleetKey(fleet)}`, async () => {
            let last = "";
            const key = fleetKey(fleet);
            await carryFleet(parts, key, {
              signal,
              onTurn: ({ rollout, remedies, left }) => {
                turns += 1;
                for (const remedy of remedies)
                  say(key, `${remedy.kind} ${"slot" in remedy ? remedy.slot.slot : remedy.instance}: ${remedy.why}`);
                const line = [
                  ...(rollout === undefined
                    ? []
                    : [`${rollout.id} ${progressLine(viewOf(rollout.state, { waitingFor: rollout.waitingFor, startedBy: "" }))}`]),
                  ...left.map(({ slot, why }) => `${slot}: ${why}`),
                ].join("; ");
                if (line !== last && line !== "") say(key, line);
                last = line;
                if (rollout?.ended === true) void announce({ ...context, signal }).catch((error: unknown) => say(key, String(error)));
                return signal.aborted;
              },
            });
          }).catch((error: unknown) => {
            if (!signal.aborted) throw error;
          }),
        ),
      );
      return { fleets: fleets.map(fleetKey), turns };
    });
  },
  render: ({ fleets }) => (fleets.length === 0 ? "No fleets. A recipe declares them with `fleets:`.\n" : "Stopped.\n"),
});
