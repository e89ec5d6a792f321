import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { AS_OPTION, control, renderCommanded } from "../fleets/control.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout approve",
  summary: "Approve the plan of a rollout, by its hash",
  description: `Counts for exactly this plan. Whoever started the rollout cannot approve it. On one machine this is a record, not a proof: --as is believed, and who
typed it is recorded beside it.`,
  arguments: { rollout: ROLLOUT_ARGUMENT },
  options: { plan: { value: "hash", summary: "The hash that `rollout plan` and `rollout start` show", completes: "none" }, as: AS_OPTION },
  examples: [{ line: "rollout approve web --plan 1f0c9be2a4d7 --as anna", does: "Anna approves" }],
  run: async ({ args, options, ...context }) => {
    if (options.plan === undefined)
      throw new BakehouseError("USAGE", "--plan is missing: the hash of the plan that is approved", {
        hint: `bakehouse rollout watch ${args.rollout ?? ""}`.trim(),
      });
    return control(context, { command: "approve", rollout: args.rollout, planHash: options.plan, as: options.as });
  },
  render: renderCommanded,
});
