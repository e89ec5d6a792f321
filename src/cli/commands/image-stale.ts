import { shortDigest } from "../../core/digest.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { storeExists } from "../images/with-images.ts";
import { count } from "../text.ts";

export const command = defineCommand({
  name: "image stale",
  summary: "Show which images must be baked again, and why",
  description: `Because something that they stand on is revoked, was baked again, or is no longer where the channel points that they were baked from; or because
security updates are known that they lack (known are the lists that \`bakehouse lock\` fetched last, and the SBOM that \`bakehouse attest\` signs). What stands
on such an image must be baked after it: the list is in that order.`,
  examples: [
    { line: "image stale", does: "What to bake, the lowest first" },
    { line: "image stale --json", does: "For programs, with every reason" },
  ],
  run: async (context) => {
    if (!storeExists(context.global.store)) return { images: [], unknown: 0, looked: 0 };
    const { staleImages, staleReasonText } = await import("../../engine/stale-images.ts");
    return withChannels(context, async (parts) => {
      const { images, ...counts } = await staleImages(parts);
      return { ...counts, images: images.map((image) => ({ ...image, lines: image.why.map(staleReasonText) })) };
    });
  },
  render: ({ images, unknown, looked }, { terminal }) => {
    const { bold, dim, green } = terminal.colors;
    const lines = images.map(
      ({ name, digest, channels, lines: why }) =>
        `${bold(name)} ${dim(shortDigest(digest))}${channels.map((channel) => ` @${channel}`).join("")}\n${why.map((line) => `  ${line}\n`).join("")}`,
    );
    const head = images.length === 0 ? `${green("Nothing must be baked again")} of ${count(looked, "image")}.\n` : lines.join("");
    return unknown === 0
      ? head
      : `${head}${dim(`Security updates are not known for ${count(unknown, "image")}: bakehouse attest, bakehouse lock`)}\n`;
  },
});
