import { shortDigest } from "../../core/digest.ts";
import type { ListedChannel } from "../../engine/list-channels.ts";
import { gateLines } from "../channels/gate-lines.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { formatAge } from "../images/words.ts";
import { storeExists } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "channels",
  summary: "Show what each channel points to, and what waits before it",
  description: `Channels are declared in the recipe, in the order that images go through. Each points to one image, by digest, or to nothing.
Below the table stands what could come next, with every gate that keeps it out and the command for each.`,
  arguments: { recipe: { required: false, summary: "Name of a recipe; default all", completes: "none" } },
  examples: [
    { line: "channels", does: "Every channel of the store" },
    { line: "channels shop --json", does: "Those of one recipe, for programs" },
  ],
  run: async ({ args, ...context }) => {
    if (!storeExists(context.global.store)) return { channels: [] };
    const { listChannels } = await import("../../engine/list-channels.ts");
    return withChannels(context, async (parts) => ({ channels: await listChannels(parts, args.recipe) }));
  },
  render: ({ channels }, { terminal }) => {
    if (channels.length === 0) return "No channels. A recipe declares them with `channels:`, and bakehouse bake records that.\n";
    const { dim } = terminal.colors;
    const rows = channels.map((channel) => [
      `${channel.name ?? channel.recipe}@${channel.channel}`,
      channel.image === undefined ? dim("nothing") : shortDigest(channel.image),
      channel.since === undefined ? "" : formatAge(channel.since),
      channel.who ?? "",
      marks(channel, terminal),
    ]);
    const columns = [
      { title: "channel", minimum: 12 },
      { title: "image" },
      { title: "since" },
      { title: "by", minimum: 4 },
      { title: "", minimum: 8 },
    ] as const;
    return [
      table(columns, rows, { width: terminal.columns, styleTitle: dim }),
      ...channels.flatMap((channel) => waiting(channel, terminal)),
    ].join("");
  },
});

function marks({ revoked, emergency, undeclared }: ListedChannel, { colors }: Terminal): string {
  return [
    revoked === undefined ? "" : colors.red(`REVOKED: ${revoked}`),
    emergency === true ? colors.yellow("emergency") : "",
    undeclared === true ? colors.yellow("not declared any more") : "",
  ]
    .filter((text) => text !== "")
    .join(", ");
}

function waiting({ channel, next }: ListedChannel, terminal: Terminal): readonly string[] {
  if (next === undefined) return [];
  const { bold, dim, green } = terminal.colors;
  const head = `\n${bold(`${next.name} ${shortDigest(next.image)}`)} → ${bold(channel)}`;
  if (next.unmet.length === 0)
    return [`${head} ${green("may go")}\n    ${dim(`bakehouse promote ${shortDigest(next.image)} --to ${channel}`)}\n`];
  return [`${head} waits for\n${gateLines(next.unmet, terminal)}`];
}
