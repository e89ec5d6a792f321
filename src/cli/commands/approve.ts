import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import { gateLines } from "../channels/gate-lines.ts";
import { RECIPE_OPTION, withDeclaredChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT } from "../images/with-images.ts";

export const command = defineCommand({
  name: "approve",
  summary: "Record that somebody approves of an image for a channel",
  description: `Counts for exactly this digest and this channel. Whoever baked the image cannot approve of it, nor can somebody whom the recipe does not name.
On one machine this is a record, not a proof: --as is believed. Who typed it is recorded beside it.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    to: { value: "channel", summary: "The channel, such as prod" },
    as: { value: "person", summary: "Who approves, anna or anna@host; default you" },
    withdraw: { summary: "Take the approval back" },
    recipe: RECIPE_OPTION,
  },
  examples: [
    { line: "approve shop/release@staging --to prod", does: "You approve" },
    { line: "approve shop/release@staging --to prod --as anna", does: "Anna does, beside you" },
  ],
  run: async ({ args, options, ...context }) => {
    const { approveImage } = await import("../../engine/approve-image.ts");
    if (options.to === undefined)
      throw new BakehouseError("USAGE", "--to is missing: the channel", { hint: `bakehouse approve ${args.image} --to CHANNEL` });
    const { to, as, withdraw } = options;
    return withDeclaredChannels(context, options.recipe, (parts) =>
      approveImage(parts, { image: args.image, to, withdraw, ...(as === undefined ? {} : { as }) }),
    );
  },
  render: ({ name, image, channel, person, withdrawn, record, gate }, { terminal }) => {
    const { bold } = terminal.colors;
    const what = `${bold(name)} ${shortDigest(image)} for ${bold(channel)}`;
    const said =
      record === undefined ? (withdrawn ? "had not approved" : "had approved before") : withdrawn ? "no longer approves" : "approves";
    return `${person} ${said}: ${what}\n${gate === undefined ? "" : gateLines([gate], terminal)}`;
  },
});
