import type { AuditBody, AuditRecord, ChainBreak, ChannelPolicy } from "../core/audit/record.ts";
import type { ChannelPointer } from "../core/channel/model.ts";
import type { ImageDigest, Sha256 } from "../core/digest.ts";
import type { Approval, ChannelMove, Revocation } from "../core/promotion/facts.ts";

/** Where a channel points, since when, and by whom. */
export interface ChannelState extends ChannelPointer<ImageDigest> {
  /** Of the record that moved it. */
  readonly sequence: number;
  readonly since: string;
  readonly who: string;
  /** It got there with gates that were not met. */
  readonly emergency: boolean;
}

/** The end of the audit log: whoever decides on what they read names it, and is refused when there is more by then. */
export interface LedgerHead {
  readonly sequence: number;
  readonly hash: Sha256;
  /** The latest time of all records, not that of the last: clocks are set back. */
  readonly latestAt?: string;
}

/** Why a record was not written. */
export interface LedgerMoved {
  readonly moved: true;
}

export interface LedgerProblem extends ChainBreak {
  /** Which of the three copies is not what was written: the log, its mirror, or the tables that are made from it. */
  readonly where: "log" | "mirror" | "tables";
}

export interface LedgerVerdict {
  readonly records: number;
  readonly head: LedgerHead;
  /** The first of each copy; none: everything is as it was written. */
  readonly problems: readonly LedgerProblem[];
}

/**
 * Channels, approvals and revocations, and the audit log that they follow from. Nothing changes without a record, and the record
 * is written in the same transaction. Each record also stands in a file beside the catalog, from which a lost catalog is made again.
 */
export interface Ledger {
  head(): Promise<LedgerHead>;
  /** By name and channel. */
  channels(): Promise<readonly ChannelState[]>;
  /** Of one channel of one name, the oldest first. */
  moves(name: string, channel: string): Promise<readonly ChannelMove[]>;
  /** Those that hold, the oldest first. */
  approvals(digest: ImageDigest): Promise<readonly Approval[]>;
  /** Those that hold, the oldest first. */
  revocations(): Promise<readonly Revocation[]>;
  policy(recipe: string): Promise<{ readonly policy: ChannelPolicy; readonly sequence: number } | undefined>;
  /** Writes the next record and what follows from it, unless anything was recorded since `after` was read. */
  append(
    body: AuditBody,
    made: { readonly at: Date; readonly who: string; readonly after: LedgerHead },
  ): Promise<AuditRecord | LedgerMoved>;
  /** The oldest first. */
  records(): Promise<readonly AuditRecord[]>;
  verify(): Promise<LedgerVerdict>;
}

/** The file beside the catalog: every record, one a line, in order. */
export interface AuditMirror {
  sizeBytes(): number;
  /** Whole lines from a place on; a last line that was not finished is left out. */
  readFrom(offset: number): { readonly lines: readonly string[]; readonly endBytes: number };
  /** Adds lines at `offset`, where the last whole line ends; what was not finished there is dropped. Gives the new size. */
  appendAt(offset: number, lines: readonly string[]): number;
}
