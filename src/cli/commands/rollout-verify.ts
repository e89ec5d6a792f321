import { ROLLOUT_ARGUMENT, withFleets } from "../fleets/with-fleets.ts";
import { defineCommand } from "../command.ts";
import { count } from "../text.ts";

export const command = defineCommand({
  name: "rollout verify",
  summary: "Decide a rollout once more from its record, and compare",
  description: `Everything that the rollout was told is told again, at the same times, to the rules of now: the decisions must be the same. Needs nothing but the
record. Exit code 1 when they differ.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  examples: [{ line: "rollout verify web-r3", does: "Whether its record explains what happened" }],
  run: async ({ args, ...context }) => {
    const { verifyRollout } = await import("../../engine/verify-rollout.ts");
    return withFleets(context, undefined, (parts) => verifyRollout(parts, args.rollout));
  },
  render: ({ id, status, compared, notes, difference }, { terminal }) => {
    const { bold, red, green, dim } = terminal.colors;
    const { moments, actions, states, deeds } = compared;
    const what = `${count(moments, "moment")}, ${count(actions, "action")}, ${count(states, "state")}, ${count(deeds, "entry", "entries")} of the audit log`;
    const rest = notes.map((note) => `    ${dim(note)}\n`).join("");
    if (difference === undefined) return `${green("✔")} ${bold(id)} ${status}: decided once more, it is the same: ${what}\n${rest}`;
    const { moment, at, recorded, replayed } = difference;
    return `${red("✘")} ${bold(id)}: ${difference.what} differs at moment ${moment}${at === undefined ? "" : ` (${at})`}\n    recorded  ${recorded}\n    replayed  ${replayed}\n${rest}`;
  },
  exitCode: ({ difference }) => (difference === undefined ? 0 : 1),
});
