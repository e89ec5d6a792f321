import { shortDigest } from "../../core/digest.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { announce } from "../cycle/announce.ts";

export const command = defineCommand({
  name: "demote",
  summary: "Take the image out of a channel, which points to nothing then",
  description: `The time that the image spent in the channel no longer counts for the next one. \`bakehouse rollback\` points the channel to an earlier image instead.`,
  arguments: { channel: { summary: "shop/release@qa, shop@qa, or qa when there is one of that name", completes: "none" } },
  options: { reason: { value: "text", summary: "Why, for the audit log" } },
  examples: [{ line: 'demote shop@qa --reason "health flaps"', does: "Nothing is in qa until the next promotion" }],
  run: async ({ args, options, ...context }) => {
    const { demoteChannel } = await import("../../engine/roll-back-channel.ts");
    const { reason } = options;
    const result = await withChannels(context, (parts) =>
      demoteChannel(parts, { channel: args.channel, ...(reason === undefined ? {} : { reason }) }),
    );
    await announce(context);
    return result;
  },
  render: ({ name, channel, before }, { terminal }) => {
    const { bold, green } = terminal.colors;
    return `${green("✓")} ${bold(`${name}@${channel}`)} points to nothing; ${shortDigest(before)} is out of it\n`;
  },
});
