import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { count } from "../text.ts";

export const command = defineCommand({
  name: "audit verify",
  summary: "Check that the audit log is the one that was written",
  description: `Each record holds the hash of the one before. Checked are the log in the catalog, its copy beside the catalog (\`audit.jsonl\`), and that channels,
approvals and revocations are what the log gives. The first record that is not the one that was written is named. Who replaces all of it at once makes a
log that is sound in itself: note the head that this command prints somewhere else, and give it with --head.`,
  options: { head: { value: "head", summary: "A head that was noted earlier: the log must hold it" } },
  examples: [
    { line: "audit verify", does: "Whether anything was changed, left out or cut off" },
    { line: "audit verify --head 12:sha256:5f0c…", does: "And that it is still the log of that day" },
  ],
  run: async ({ options, ...context }) => {
    const { verifyAudit } = await import("../../engine/read-audit.ts");
    return withChannels(context, (parts) => verifyAudit(parts, options.head));
  },
  render: ({ records, head }, { terminal }) => {
    const { dim, green } = terminal.colors;
    return `${green("Sound:")} ${count(records, "record")}${records === 0 ? "" : `, head ${dim(`${head.sequence}:${head.hash}`)}`}\n`;
  },
});
