import type { AuditBody, AuditRecord } from "../core/audit/record.ts";
import type { Clock } from "../ports/host.ts";
import type { Ledger } from "../ports/ledger.ts";

/** What was decided: a record to write, or nothing to do. */
export interface Decision<Result> {
  readonly body?: AuditBody;
  readonly result: Result;
}

/** So many times in a row somebody else was faster: something is wrong. */
const MAX_TRIES = 100;

/**
 * Decides on what the ledger says and writes the record; when anything was recorded in between, decides again on what it says by
 * then.
 */
export async function record<Result>(
  parts: { readonly clock: Clock; baker(): Promise<string> },
  ledger: Ledger,
  decide: (context: { readonly now: Date; readonly latestAt?: string }) => Promise<Decision<Result>>,
): Promise<{ readonly record?: AuditRecord; readonly result: Result }> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const after = await ledger.head();
    const now = parts.clock.now();
    const { body, result } = await decide({ now, ...(after.latestAt === undefined ? {} : { latestAt: after.latestAt }) });
    if (body === undefined) return { result };
    const written = await ledger.append(body, { at: now, who: await parts.baker(), after });
    if (!("moved" in written)) return { record: written, result };
  }
  throw new Error("the audit log was written to by others in each of 100 tries");
}
