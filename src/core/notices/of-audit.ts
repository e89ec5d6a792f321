import type { AuditRecord } from "../audit/record.ts";
import type { Happening } from "./notice.ts";

/** What a record of the audit log tells others: its notice, and the recipe whose image it is about. Nothing for what only the log needs. */
export interface AuditNews {
  /** The same for the same record: whoever tells it, it is told once. */
  readonly id: string;
  readonly at: string;
  readonly recipe: string;
  readonly happening: Happening;
}

const PREFIX = "audit-";

/** Sortable: `audit-00000012`. */
const idOf = ({ sequence }: AuditRecord): string => `${PREFIX}${String(sequence).padStart(8, "0")}`;

/** Number of the record that a notice was made of. */
export const auditSequenceOf = (id: string): number => (id.startsWith(PREFIX) ? Number(id.slice(PREFIX.length)) : 0);

export function newsOf(record: AuditRecord): AuditNews | undefined {
  const happening = happeningOf(record);
  if (happening === undefined) return undefined;
  // of images the recipe stands in the name, of fleets in the subject
  const name = "name" in record.details ? record.details.name : record.subject;
  return { id: idOf(record), at: record.at, recipe: name.split("/")[0] ?? "", happening };
}

function happeningOf(record: AuditRecord): Happening | undefined {
  const { who: by } = record;
  switch (record.action) {
    case "promoted":
    case "rolled-back":
    case "demoted": {
      const { name, channel, digest: image, before } = record.details;
      const emergency = record.action === "promoted" ? record.details.emergency : undefined;
      const reason = record.action === "promoted" ? emergency?.reason : record.details.reason;
      const recipe = name.split("/")[0] ?? "";
      const how = emergency === undefined ? record.action : "emergency";
      return {
        type: "channel.moved",
        subject: `${name}@${channel}`,
        data: { recipe, channel, how, image, before, by, ...(reason === undefined ? {} : { reason }) },
      };
    }
    case "revoked":
      return { type: "image.revoked", subject: record.details.name, data: { image: record.subject, reason: record.details.reason, by } };
    case "restored":
      return {
        type: "image.restored",
        subject: record.details.name,
        data: { image: record.subject, reason: record.details.reason ?? "", by },
      };
    case "rollout-started": {
      const { rollout, image } = record.details;
      if (rollout === undefined || image === undefined) return undefined;
      return { type: "rollout.started", subject: record.subject, data: { fleet: record.subject, rollout, image, by } };
    }
    case "rollout-waits": {
      const { rollout, image, reason: waitingFor = "" } = record.details;
      if (rollout === undefined || image === undefined) return undefined;
      return { type: "rollout.waiting", subject: record.subject, data: { fleet: record.subject, rollout, image, waitingFor } };
    }
    case "rollout-stopped":
    case "rollout-ended": {
      const { rollout, image, status, reason = "" } = record.details;
      if (rollout === undefined || image === undefined || status === undefined) return undefined;
      const type = record.action === "rollout-ended" ? "rollout.ended" : "rollout.stopped";
      return { type, subject: record.subject, data: { fleet: record.subject, rollout, image, status, reason } };
    }
    case "line-stopped":
      // on every fleet: no recipe in particular is told
      if (record.subject === "*") return undefined;
      return { type: "line.stopped", subject: record.subject, data: { fleet: record.subject, reason: record.details.reason ?? "", by } };
    default:
      return undefined;
  }
}
