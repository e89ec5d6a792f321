import type { FleetAction, FleetDeed } from "../core/audit/record.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { record } from "./record.ts";

/** Writes what was done to a fleet into the audit log. */
export async function recordDeed(
  parts: Pick<FleetParts, "catalog" | "clock" | "baker">,
  action: FleetAction,
  subject: string,
  details: FleetDeed,
): Promise<void> {
  const { ledger } = await parts.catalog();
  await record(parts, ledger, () => Promise.resolve({ body: { action, subject, details }, result: undefined }));
}

/**
 * The same, unless that stands in the log already: whoever did it may have died before or after it was written.
 *
 * @param since  the earliest time at which it can have been written, ISO 8601: it may have happened before, too
 */
export async function recordDeedOnce(
  parts: Pick<FleetParts, "catalog" | "clock" | "baker">,
  action: FleetAction,
  subject: string,
  details: FleetDeed & { readonly rollout: string },
  since: string,
): Promise<void> {
  const { ledger } = await parts.catalog();
  await record(parts, ledger, async () => {
    const isThere = (await ledger.records()).some(
      (each) =>
        each.action === action &&
        each.subject === subject &&
        each.at >= since &&
        "rollout" in each.details &&
        each.details.rollout === details.rollout &&
        (!("reason" in each.details) || each.details.reason === details.reason),
    );
    return { ...(isThere ? {} : { body: { action, subject, details } }), result: undefined };
  });
}
