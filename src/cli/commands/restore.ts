import { shortDigest } from "../../core/digest.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { announce } from "../cycle/announce.ts";
import { IMAGE_ARGUMENT } from "../images/with-images.ts";

export const command = defineCommand({
  name: "restore",
  summary: "Take the revocation of an image back",
  arguments: { image: IMAGE_ARGUMENT },
  options: { reason: { value: "text", summary: "Why, for the audit log" } },
  examples: [{ line: 'restore 3f9a1c --reason "it was another package"', does: "It may be used again, and what stands on it" }],
  run: async ({ args, options, ...context }) => {
    const { restoreImage } = await import("../../engine/revoke-image.ts");
    const { reason } = options;
    const result = await withChannels(context, (parts) =>
      restoreImage(parts, { image: args.image, ...(reason === undefined ? {} : { reason }) }),
    );
    await announce(context);
    return result;
  },
  render: ({ name, image, record, stillRevoked }, { terminal }) => {
    const { bold, green, red } = terminal.colors;
    const what = `${bold(name)} ${shortDigest(image)}`;
    const head = record === undefined ? `${what} was not revoked by itself\n` : `${green("Restored")} ${what}\n`;
    return `${head}${stillRevoked.map(({ digest, reason }) => `  ${red("still revoked")} with ${shortDigest(digest)}, which it stands on: ${reason}\n`).join("")}`;
  },
});
