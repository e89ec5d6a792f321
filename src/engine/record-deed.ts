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
