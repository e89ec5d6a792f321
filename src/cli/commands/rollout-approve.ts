import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { AS_OPTION, control, renderCommanded } from "../fleets/control.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout approve",
  summary: "Approve the plan of a rollout, or a wave where a gate asks for that, by the plan's hash",
  description: `Counts for exactly this plan, and with --wave only while that wave waits for it. Whoever started the rollout cannot approve it. On one machine this is a record, not a proof: --as is believed, and who
typed it is recorded beside it.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: {
    plan: { value: "hash", summary: "The hash that `rollout plan` and `rollout start` show", completes: "none" },
    wave: { value: "number", summary: "The wave that is approved; default whatever waits for an approval", completes: "none" },
    as: AS_OPTION,
  },
  examples: [
    { line: "rollout approve web --plan 1f0c9be2a4d7 --as anna", does: "Anna approves" },
    { line: "rollout approve web --plan 1f0c9be2a4d7 --wave 1 --as anna", does: "Anna has looked at the first wave: it goes on" },
  ],
  run: async ({ args, options, ...context }) => {
    if (options.plan === undefined)
      throw new BakehouseError("USAGE", "--plan is missing: the hash of the plan that is approved", {
        hint: `bakehouse rollout watch ${args.rollout ?? ""}`.trim(),
      });
    const wave = options.wave === undefined ? {} : { wave: waveOf(options.wave) };
    return control(context, { command: "approve", rollout: args.rollout, planHash: options.plan, ...wave, as: options.as });
  },
  render: renderCommanded,
});

function waveOf(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new BakehouseError("USAGE", `--wave must be the number of a wave, from 1, and is ${JSON.stringify(text)}`, {
    hint: "bakehouse rollout watch, to see the waves",
  });
}
