import { BakehouseError } from "../../core/errors.ts";
import type { RecordedResponse } from "../../core/lock/model.ts";
import type { NetworkRequest } from "../../ports/network-recorder.ts";
import type { Addresses } from "./addresses.ts";
import type { BodyStore } from "./body-store.ts";
import { list } from "./record.ts";
import { createUpstream, type Upstream } from "./upstream.ts";

export interface MissingBodies {
  readonly request: NetworkRequest;
  readonly addresses: Addresses;
  readonly bodies: BodyStore;
  readonly responses: readonly RecordedResponse[];
  readonly trust: readonly string[];
}

/** Mirrors do not like more from one client; more would not be faster either. */
const AT_ONCE = 4;

/**
 * Brings recorded bodies that this store does not have, as on a machine that has got the lock and not the store: from where
 * they were recorded, if that still gives the same bytes. Nobody is asked when nothing is missing.
 *
 * @throws BakehouseError LOCK_STALE naming everything that cannot be had any more
 */
export async function fetchMissing({ request, addresses, bodies, responses, trust }: MissingBodies): Promise<void> {
  const missing = [
    ...new Map(responses.filter((recorded) => !bodies.has(recorded.sha256)).map((recorded) => [recorded.sha256, recorded])).values(),
  ];
  if (missing.length === 0) return;
  request.log(`network: fetching ${missing.length} recorded answers that the store lacks`);
  const upstream = createUpstream(trust);
  const lost: string[] = [];
  const queue = missing.values();
  const work = async (): Promise<void> => {
    for (const recorded of queue) {
      const reason = await fetchOne(recorded, { request, addresses, bodies }, upstream);
      if (reason !== undefined) lost.push(`${recorded.url} (${reason})`);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    upstream.close();
  }
  if (lost.length === 0) return;
  throw new BakehouseError(
    "LOCK_STALE",
    `${request.address}: neither the store nor the network has any more what was recorded from:${list(lost)}`,
    {
      hint: `bakehouse lock --update --package ${request.address}, or bring the store in which it was locked`,
      details: { step: request.address, missing: missing.map((recorded) => recorded.sha256).filter((digest) => !bodies.has(digest)) },
    },
  );
}

/** @returns why the bytes cannot be had, or nothing when they are there */
async function fetchOne(
  recorded: RecordedResponse,
  { request, addresses, bodies }: Pick<MissingBodies, "request" | "addresses" | "bodies">,
  upstream: Upstream,
): Promise<string | undefined> {
  let reason = "no mirror has this name";
  for (const url of addresses.sources(recorded.url)) {
    request.signal.throwIfAborted();
    try {
      const incoming = await upstream.fetch({ method: recorded.method, url, headers: {} }, url, request.signal);
      await bodies.add(incoming as AsyncIterable<Buffer>, async () => undefined, recorded.sha256);
      return undefined;
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
  }
  request.signal.throwIfAborted();
  return reason;
}
