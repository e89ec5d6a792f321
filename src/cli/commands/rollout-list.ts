import { withFleets } from "../fleets/with-fleets.ts";
import { short, statusWord } from "../fleets/words.ts";
import { defineCommand } from "../command.ts";
import { storeExists } from "../images/with-images.ts";
import { formatAge } from "../images/words.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "rollout list",
  summary: "List rollouts, the newest first",
  arguments: { fleet: { required: false, summary: "Only those of this fleet", completes: "none" } },
  examples: [{ line: "rollout list web", does: "Those of one fleet" }],
  run: async ({ args, ...context }) => {
    if (!storeExists(context.global.store)) return { rollouts: [] };
    const { findFleet } = await import("../../engine/find-fleet.ts");
    const { fleetKey } = await import("../../ports/fleet-records.ts");
    return withFleets(context, undefined, (parts) =>
      Promise.resolve({
        rollouts: parts.records.rollouts(args.fleet === undefined ? undefined : fleetKey(findFleet(parts.records, args.fleet))),
      }),
    );
  },
  render: ({ rollouts }, { terminal }) => {
    if (rollouts.length === 0) return "No rollouts yet.\n";
    const rows = rollouts.map(({ id, fleet, target, status, reason, waitingFor, startedAt, startedBy }) => [
      id,
      fleet,
      short(target),
      statusWord(status, terminal.colors),
      formatAge(startedAt),
      startedBy,
      reason || waitingFor,
    ]);
    const columns = [
      { title: "rollout" },
      { title: "fleet" },
      { title: "image" },
      { title: "status" },
      { title: "started" },
      { title: "by", minimum: 4, dispensable: 1 },
      { title: "", minimum: 8 },
    ] as const;
    return table(columns, rows, { width: terminal.columns, styleTitle: terminal.colors.dim });
  },
});
