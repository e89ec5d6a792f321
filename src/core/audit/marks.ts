import type { ChannelPointer } from "../channel/model.ts";
import type { ImageDigest } from "../digest.ts";
import type { Revocation } from "../promotion/facts.ts";
import type { AuditRecord } from "./record.ts";

/** What stands beside images when they are looked up or listed. */
export interface StoreMarks {
  readonly channels: readonly ChannelPointer<ImageDigest>[];
  /** Those that hold. */
  readonly revocations: readonly Revocation[];
}

/** What the audit log alone says, for a store whose catalog is gone. */
export function marksOf(records: readonly AuditRecord[]): StoreMarks {
  const channels = new Map<string, ChannelPointer<ImageDigest>>();
  const revocations = new Map<ImageDigest, Revocation>();
  for (const record of records) {
    if (record.action === "promoted" || record.action === "rolled-back" || record.action === "demoted") {
      const { name, channel, digest } = record.details;
      if (digest === null) channels.delete(`${name}@${channel}`);
      else channels.set(`${name}@${channel}`, { name, channel, digest });
    } else if (record.action === "revoked") {
      const { sequence, who, at, subject: digest, details } = record;
      revocations.set(digest, { sequence, digest, who, at, ...details });
    } else if (record.action === "restored") revocations.delete(record.subject);
  }
  return { channels: [...channels.values()], revocations: [...revocations.values()] };
}
