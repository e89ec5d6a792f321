import { ROLLOUT_ARGUMENT } from "../fleets/with-fleets.ts";
import { control, REASON_OPTION, renderCommanded } from "../fleets/control.ts";
import { BakehouseError } from "../../core/errors.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "rollout skip",
  summary: "Leave an instance out of a rollout, or pass a gate that gives no answer",
  description: `Needs a reason, which stands in the audit log and in the report. An instance that is left out stays on the image that it has.`,
  arguments: { rollout: { ...ROLLOUT_ARGUMENT, required: true, summary: "Id of a rollout, or its fleet" } },
  options: {
    instance: { value: "slot", summary: "Leave this slot out", completes: "none" },
    gate: { summary: "Pass the gate that the rollout is held at" },
    reason: REASON_OPTION,
  },
  examples: [
    { line: 'rollout skip web --instance web-3 --reason "being repaired"', does: "All but one" },
    { line: 'rollout skip web --gate --reason "metrics are down, logs look well"', does: "Take the gate's answer upon yourself" },
  ],
  run: async ({ args, options, ...context }) => {
    const { instance, gate, reason } = options;
    if ((instance === undefined) === !gate)
      throw new BakehouseError("USAGE", "What is left out? Give --instance SLOT or --gate", {
        hint: `bakehouse rollout explain ${args.rollout}`,
      });
    if (reason === undefined)
      throw new BakehouseError("USAGE", "--reason is missing: what is skipped needs one", { hint: '--reason "why"' });
    return control(context, {
      command: gate ? "skip-gate" : "skip",
      rollout: args.rollout,
      reason,
      ...(instance === undefined ? {} : { id: instance }),
    });
  },
  render: renderCommanded,
});
