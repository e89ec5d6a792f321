import { shortDigest } from "../../core/digest.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { announce } from "../cycle/announce.ts";

export const command = defineCommand({
  name: "rollback",
  summary: "Point a channel to the image before, or to an earlier one",
  description: `Only to an image that the channel pointed to before: its gates were met then and are not asked again, and no freeze window keeps it back. An image
that was revoked meanwhile is passed over. The time that the image spent in the channel no longer counts for the next one.`,
  arguments: { channel: { summary: "shop/release@prod, shop@prod, or prod when there is one of that name", completes: "none" } },
  options: {
    to: { value: "image", summary: "This earlier image, not the one before" },
    reason: { value: "text", summary: "Why, for the audit log" },
  },
  examples: [
    { line: "rollback shop@prod", does: "To the image before" },
    { line: 'rollback shop@prod --to 3f9a1c --reason "orders are lost"', does: "To a given earlier one" },
  ],
  run: async ({ args, options, ...context }) => {
    const { rollBackChannel } = await import("../../engine/roll-back-channel.ts");
    const { to, reason } = options;
    const result = await withChannels(context, (parts) =>
      rollBackChannel(parts, { channel: args.channel, ...(to === undefined ? {} : { to }), ...(reason === undefined ? {} : { reason }) }),
    );
    await announce(context);
    return result;
  },
  render: ({ name, channel, before, image }, { terminal }) => {
    const { bold, dim, green } = terminal.colors;
    return `${green("✓")} ${bold(`${name}@${channel}`)} → ${image === undefined ? "nothing" : shortDigest(image)}${dim(`, before ${shortDigest(before)}`)}\n`;
  },
});
