import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { RECIPE_OPTION, withDeclaredChannels } from "../channels/with-channels.ts";
import { gateLines } from "../channels/gate-lines.ts";
import { defineCommand } from "../command.ts";
import { announce } from "../cycle/announce.ts";
import { formatTime } from "../images/words.ts";
import { IMAGE_ARGUMENT } from "../images/with-images.ts";

export const command = defineCommand({
  name: "promote",
  summary: "Point a channel to an image, when all its gates are met",
  description: `The channel then points to exactly this digest: no other image, not even one that was baked from the same recipe. Gates that are not met
are listed with the command for each, and nothing is changed. Who, when, the gates and the evidence go into the audit log.

Of two who move a channel at the same time one wins, and the other is told (CHANNEL_MOVED). --expect says what the channel must point to for the promotion
to go on.

--emergency passes over gates, all but the one about revoked images. It needs a reason and two people who did not bake the image, and it stays in the
audit log and beside the channel.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    to: { value: "channel", summary: "The channel, such as qa" },
    expect: { value: "image", summary: "Only if the channel points to this image now; none: to nothing" },
    emergency: { summary: "Pass over gates that are not met; with --reason and two --approver" },
    reason: { value: "text", summary: "Why it cannot wait" },
    approver: { value: "person", many: true, summary: "Who agrees; given twice" },
    recipe: RECIPE_OPTION,
  },
  examples: [
    { line: "promote shop/release --to dev", does: "The image that has the name now" },
    { line: "promote shop/release@dev --to qa", does: "The very image that dev points to" },
    { line: 'promote 3f9a1c --to prod --emergency --reason "login is down" --approver anna --approver ben', does: "When it cannot wait" },
  ],
  run: async ({ args, options, ...context }) => {
    const { promoteImage } = await import("../../engine/promote-image.ts");
    if (options.to === undefined)
      throw new BakehouseError("USAGE", "--to is missing: the channel", { hint: `bakehouse promote ${args.image} --to CHANNEL` });
    const { to } = options;
    const emergency = emergencyOf(options);
    const result = await withDeclaredChannels(context, options.recipe, (parts) =>
      promoteImage(parts, {
        image: args.image,
        to,
        ...(options.expect === undefined ? {} : { expect: options.expect }),
        ...(emergency === undefined ? {} : { emergency }),
      }),
    );
    await announce(context);
    return result;
  },
  render: ({ name, channel, image, before, already, gates, waived }, { terminal }) => {
    const { bold, dim, green, yellow } = terminal.colors;
    const target = bold(`${name}@${channel}`);
    if (already !== undefined)
      return `${target} points to ${shortDigest(image)} already, since ${formatTime(already.since)}, by ${already.who}\n`;
    const from = before === undefined ? "" : dim(`, before ${shortDigest(before)}`);
    const passed = gates.filter(({ verdict }) => verdict === "passed").length;
    const head = `${green("✓")} ${target} → ${shortDigest(image)}${from}; ${passed} of ${gates.length} gates met\n`;
    if (waived.length === 0) return head;
    return `${head}${yellow("Emergency:")} passed over\n${gateLines(
      gates.filter(({ gate }) => waived.includes(gate)),
      terminal,
    )}`;
  },
});

function emergencyOf(options: {
  readonly emergency: boolean;
  readonly reason: string | undefined;
  readonly approver: readonly string[];
}): { readonly reason: string; readonly approvers: readonly string[] } | undefined {
  const { emergency, reason = "", approver } = options;
  if (!emergency && (reason !== "" || approver.length > 0))
    throw new BakehouseError("USAGE", "--reason and --approver belong to --emergency", {
      hint: "bakehouse approve, to record an approval",
    });
  if (!emergency) return undefined;
  if (reason.trim() === "" || approver.length < 2)
    throw new BakehouseError("USAGE", "--emergency needs a --reason and two --approver", {
      hint: '--emergency --reason "why" --approver anna --approver ben',
    });
  return { reason, approvers: approver };
}
