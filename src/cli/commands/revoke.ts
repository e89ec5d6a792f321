import { shortDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { RevokedImage } from "../../engine/revoke-image.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { announce } from "../cycle/announce.ts";
import { formatTime } from "../images/words.ts";
import { IMAGE_ARGUMENT } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { count } from "../text.ts";

export const command = defineCommand({
  name: "revoke",
  summary: "Declare an image, and all that stands on it, as not to be used",
  description: `From then on it is neither promoted nor run nor rolled out, nor is anything that was or will be baked onto it. Channels and machines that have
it stay as they are; they are listed, with what replaces it. A whole digest needs not be in this store. \`bakehouse restore\` takes it back.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    reason: { value: "text", summary: "Why; everybody who is refused sees it" },
    at: { value: "time", summary: "From when on, such as 2026-12-01T00:00:00Z; default now" },
  },
  examples: [
    { line: 'revoke shop/base --reason "CVE-2026-1234 in openssl"', does: "And every release that stands on it" },
    { line: 'revoke 3f9a1c --reason "end of support" --at 2027-01-01T00:00:00Z', does: "From a day on" },
  ],
  run: async ({ args, options, ...context }) => {
    const { revokeImage } = await import("../../engine/revoke-image.ts");
    const { reason = "", at } = options;
    if (reason.trim() === "")
      throw new BakehouseError("USAGE", "--reason is missing", { hint: `bakehouse revoke ${args.image} --reason "why"` });
    const from = at === undefined ? undefined : timeOf(at);
    const result = await withChannels(context, (parts) =>
      revokeImage(parts, { image: args.image, reason, ...(from === undefined ? {} : { from }) }),
    );
    await announce(context);
    return result;
  },
  render: ({ image, from, reaches, uses }, { terminal }) => {
    const { bold, dim, red } = terminal.colors;
    const head = `${red("Revoked")} ${bold(image.name || "an image that is not in this store")} ${shortDigest(image.digest)} from ${formatTime(from)}${insteadOf(image, terminal)}\n`;
    const below =
      reaches.length === 0
        ? ""
        : `${count(reaches.length, "image")} on it:\n${reaches.map((each) => `  ${each.name} ${shortDigest(each.digest)}${insteadOf(each, terminal)}\n`).join("")}`;
    const inUse =
      uses.length === 0
        ? "Not in use here.\n"
        : `In use:\n${uses.map(({ kind, where, image: used, command: next }) => `  ${kind} ${where} ${dim(shortDigest(used))}\n    ${dim(next)}\n`).join("")}`;
    return head + below + inUse;
  },
});

const insteadOf = ({ replacement, replacementIsOlder }: RevokedImage, { colors }: Terminal): string => {
  if (replacement === undefined) return colors.dim("; nothing replaces it yet");
  const digest = colors.green(shortDigest(replacement));
  return replacementIsOlder === true ? `; the one before it is ${digest}` : `; ${digest} replaces it`;
};

function timeOf(text: string): Date {
  const time = new Date(text);
  // without a zone it would mean another moment on another machine
  if (Number.isNaN(time.getTime()) || !/(?:Z|[+-]\d\d:?\d\d)$/i.test(text))
    throw new BakehouseError("USAGE", `--at takes a time with its zone, not ${JSON.stringify(text)}`, {
      hint: "for example 2026-12-01T00:00:00Z",
    });
  return time;
}
