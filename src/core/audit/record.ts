import type { ImageDigest, Sha256 } from "../digest.ts";
import { canonicalJson } from "../json.ts";
import type { RolloutStatus } from "../rollout/model.ts";
import type { Channels } from "../channel/model.ts";
import type { Gate } from "../promotion/gate.ts";

/** The machine's own clock beside the wall's: it only grows, and begins anew with each boot. */
export interface MachineClock {
  readonly bootId: string;
  readonly uptimeMs: number;
}

/** What a recipe says about its channels, as it was when somebody last used it. */
export interface ChannelPolicy {
  readonly recipe: string;
  readonly channels: Channels;
}

/** Where a channel points before and after a move; no `digest`: to nothing. */
interface Move {
  readonly name: string;
  readonly channel: string;
  readonly digest: ImageDigest | null;
  readonly before: ImageDigest | null;
  readonly clock?: MachineClock;
}

export interface Emergency {
  readonly reason: string;
  readonly approvers: readonly string[];
  /** The gates that were not met. */
  readonly waived: readonly string[];
}

/** What happened, and all that is needed to make it happen again in an empty catalog. */
export type AuditBody =
  | { readonly action: "channels-declared"; readonly subject: string; readonly details: ChannelPolicy }
  | {
      readonly action: "promoted";
      readonly subject: ImageDigest;
      readonly details: Move & {
        /** As they were when it was decided. */
        readonly gates: readonly Omit<Gate, "command">[];
        /** Papers that the decision rests on. */
        readonly evidence: readonly Sha256[];
        /** Of the record that declared the channels. */
        readonly policy: number;
        readonly emergency?: Emergency;
      };
    }
  | { readonly action: "rolled-back"; readonly subject: ImageDigest; readonly details: Move & { readonly reason?: string } }
  | { readonly action: "demoted"; readonly subject: ImageDigest; readonly details: Move & { readonly reason?: string } }
  | {
      readonly action: "approved" | "approval-withdrawn";
      readonly subject: ImageDigest;
      readonly details: { readonly name: string; readonly channel: string; readonly person: string };
    }
  | {
      readonly action: "revoked";
      readonly subject: ImageDigest;
      readonly details: {
        readonly name: string;
        readonly reason: string;
        /** From when on, ISO 8601, UTC. */
        readonly from: string;
        /** What stands on it: revoked, too, also when the store has forgotten how they hang together. */
        readonly reaches: readonly ImageDigest[];
      };
    }
  | { readonly action: FleetAction; readonly subject: string; readonly details: FleetDeed }
  | { readonly action: "restored"; readonly subject: ImageDigest; readonly details: { readonly name: string; readonly reason?: string } };

/** What people, and rollouts by themselves, did to fleets. */
export type FleetAction =
  | "rollout-started"
  /** By itself: held, halted, or on its way back. */
  | "rollout-stopped"
  /** For approvals. */
  | "rollout-waits"
  | "rollout-ended"
  | "rollout-commanded"
  | "fleet-scaled"
  | "line-stopped"
  | "line-released"
  | "image-denied"
  | "image-allowed";

/** The subject of its record is the fleet, `<recipe>/<name>`; of a line that is stopped everywhere `*`. */
export interface FleetDeed {
  readonly what: string;
  readonly rollout?: string;
  /** Of a rollout that ended or stopped: how. */
  readonly status?: RolloutStatus;
  readonly image?: ImageDigest;
  /** Of the rollout's plan. */
  readonly planHash?: string;
  readonly reason?: string;
}

export type AuditAction = AuditBody["action"];

/**
 * One line of the audit log. Each holds the hash of the one before, so that none can be changed, left out or put in
 * without changing all that follow.
 *
 *     hash = SHA-256 of the canonical JSON (sorted keys, no spaces) of all members but `hash`
 *
 * The first has sequence 1 and `previous` {@link FIRST_HASH}.
 */
export type AuditRecord = AuditBody & {
  readonly sequence: number;
  /** ISO 8601, UTC, as the wall clock stood. */
  readonly at: string;
  /** `user@host` of whoever gave the command: a record, not a proof. */
  readonly who: string;
  readonly previous: Sha256;
  readonly hash: Sha256;
};

export const FIRST_HASH: Sha256 = `sha256:${"0".repeat(64)}`;

export type HashText = (text: string) => Sha256;

/** The record that follows another. */
export function nextRecord(
  body: AuditBody,
  made: { readonly at: string; readonly who: string },
  last: Pick<AuditRecord, "sequence" | "hash"> | undefined,
  hash: HashText,
): AuditRecord {
  const { action, subject, details } = JSON.parse(JSON.stringify(body)) as AuditBody;
  const open = {
    sequence: (last?.sequence ?? 0) + 1,
    at: made.at,
    who: made.who,
    action,
    subject,
    details,
    previous: last?.hash ?? FIRST_HASH,
  };
  return { ...open, hash: hashOfRecord(open, hash) } as AuditRecord;
}

const hashOfRecord = (record: object, hash: HashText): Sha256 => {
  const { hash: _own, ...rest } = record as { readonly hash?: unknown };
  return hash(canonicalJson(rest));
};

/** The first record that is not the one that was written. */
export interface ChainBreak {
  readonly sequence: number;
  readonly problem: string;
}

/** Whether each record follows the one before; tells the first that does not. */
export function findBreak(records: readonly AuditRecord[], hash: HashText): ChainBreak | undefined {
  let previous = FIRST_HASH;
  for (const [index, record] of records.entries()) {
    const sequence = index + 1;
    if (record.sequence !== sequence)
      return { sequence, problem: record.sequence > sequence ? "is missing" : `record ${record.sequence} stands in its place` };
    if (record.previous !== previous) return { sequence, problem: "does not follow the one before" };
    if (hashOfRecord(record, hash) !== record.hash) return { sequence, problem: "was changed: its hash is another" };
    previous = record.hash;
  }
  return undefined;
}
