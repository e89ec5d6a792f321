import { isSha256, shortDigest } from "../../core/digest.ts";
import type { AuditRecord } from "../../core/audit/record.ts";
import { withChannels } from "../channels/with-channels.ts";
import { defineCommand } from "../command.ts";
import { formatTime } from "../images/words.ts";
import { storeExists } from "../images/with-images.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "audit list",
  summary: "List who promoted, approved, rolled back and revoked what, and when",
  arguments: {
    about: { required: false, summary: "A recipe, shop/release, shop@prod, or the beginning of a digest; default all", completes: "none" },
  },
  options: { limit: { value: "count", type: "count", default: 50, summary: "How many of the newest to list" } },
  examples: [
    { line: "audit list", does: "The newest last" },
    { line: "audit list shop@prod --json", does: "How prod came to where it points, with gates and evidence" },
  ],
  run: async ({ args, options, ...context }) => {
    if (!storeExists(context.global.store)) return { records: [] };
    const { readAudit } = await import("../../engine/read-audit.ts");
    const { about } = args;
    return withChannels(context, async (parts) => ({
      records: await readAudit(parts, { limit: options.limit, ...(about === undefined ? {} : { subject: about }) }),
    }));
  },
  render: ({ records }, { terminal }) => {
    if (records.length === 0) return "Nothing is recorded.\n";
    const rows = records.map((record) => [
      String(record.sequence),
      formatTime(record.at),
      record.who,
      record.action,
      isSha256(record.subject) ? shortDigest(record.subject) : record.subject,
      about(record),
    ]);
    const columns = [
      { title: "", align: "right" },
      { title: "when" },
      { title: "who", minimum: 6 },
      { title: "what" },
      { title: "of" },
      { title: "", minimum: 12 },
    ] as const;
    return table(columns, rows, { width: terminal.columns, styleTitle: terminal.colors.dim });
  },
});

function about(record: AuditRecord): string {
  switch (record.action) {
    case "channels-declared":
      return record.details.channels.map(({ name }) => name).join(" → ");
    case "promoted": {
      const { name, channel, emergency } = record.details;
      return `${name} → ${channel}${emergency === undefined ? "" : `, EMERGENCY (${emergency.reason}; ${emergency.approvers.join(", ")}) over ${emergency.waived.join(", ")}`}`;
    }
    case "rolled-back":
    case "demoted":
      return `${record.details.name}@${record.details.channel}${record.details.reason === undefined ? "" : `: ${record.details.reason}`}`;
    case "approved":
    case "approval-withdrawn":
      return `${record.details.name} for ${record.details.channel} by ${record.details.person}`;
    case "revoked":
      return `${record.details.name}: ${record.details.reason}`;
    case "rollout-started":
    case "rollout-stopped":
    case "rollout-waits":
    case "rollout-ended":
    case "rollout-commanded":
    case "fleet-scaled":
    case "line-stopped":
    case "line-released":
    case "image-denied":
    case "image-allowed":
      return `${record.details.what}${record.details.reason === undefined || record.details.reason === "" ? "" : `: ${record.details.reason}`}`;
    case "restored":
      return `${record.details.name}${record.details.reason === undefined ? "" : `: ${record.details.reason}`}`;
  }
}
