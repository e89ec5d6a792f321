import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { fleetKey, type KnownFleet } from "../ports/fleet-records.ts";
import { carryFleet, type FleetTurn } from "./carry-fleet.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { fleetRelease } from "./fleet-release.ts";
import { imageReference } from "./plan-fleet-rollout.ts";
import { requireNotRevoked } from "./require-not-revoked.ts";

export interface ConvergeOptions {
  readonly fleet?: string;
  /** What a fleet that runs nothing yet begins with; default the image that it follows. */
  readonly image?: string;
  /** Forget that slots were flapping. */
  readonly retry: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onTurn?(turn: FleetTurn): void;
}

export interface Converged {
  readonly turn: FleetTurn;
  /** Every slot has a healthy instance of what it is to run. */
  readonly settled: boolean;
  /** Image that the fleet follows, when that is another than the declared one. */
  readonly newer?: ImageDigest;
}

/**
 * Brings a fleet to what it is declared to be: as many instances as its size says, dead ones replaced, superfluous ones ended. To another
 * image it comes by a rollout only; a fleet that runs nothing yet begins with the image that it follows.
 *
 * @throws FLEET_NOT_FOUND, IMAGE_NOT_FOUND, CHANNEL_NOT_FOUND, IMAGE_REVOKED, ROLLOUT_REFUSED (denied), RESOURCE_BUSY (somebody else carries it)
 */
export async function convergeFleet(parts: FleetParts, options: ConvergeOptions): Promise<Converged> {
  const fleet = findFleet(parts.records, options.fleet);
  const key = fleetKey(fleet);
  declareFirst(parts, fleet, options.image);
  if (options.retry) parts.records.forgiveHealings(key);
  const end = parts.clock.elapsedMs() + options.timeoutMs;
  return carrying(parts, key, `converges fleet ${key}`, async () => {
    let last: FleetTurn | undefined;
    let settled = false;
    await carryFleet(parts, key, {
      signal: options.signal,
      onTurn: (turn) => {
        last = turn;
        options.onTurn?.(turn);
        settled = isSettled(turn);
        return settled || isStuck(turn) || parts.clock.elapsedMs() > end;
      },
    });
    if (last === undefined) throw new Error("No look at the fleet");
    const newer = newerImage(parts, last.fleet);
    return { turn: last, settled, ...(newer === undefined ? {} : { newer }) };
  });
}

/** A fleet that runs nothing yet is declared to run what it follows. */
function declareFirst(parts: FleetParts, fleet: KnownFleet, reference = imageReference(fleet)): void {
  if (fleet.declared !== undefined) return;
  const { image } = fleetRelease(parts.store, reference);
  requireNotRevoked(parts, image);
  const denied = parts.records.denied(fleetKey(fleet)).find(({ digest }) => digest === image);
  if (denied !== undefined)
    throw new BakehouseError("ROLLOUT_REFUSED", `${shortDigest(image)} is on the deny list of ${fleetKey(fleet)}: ${denied.reason}`, {
      hint: `bakehouse fleet allow ${fleetKey(fleet)} ${shortDigest(image)}`,
    });
  parts.records.setDeclared(fleetKey(fleet), image, undefined);
}

/** Holds the fleet for one process while it works on it. @throws RESOURCE_BUSY */
export async function carrying<T>(parts: FleetParts, key: string, what: string, work: () => Promise<T>): Promise<T> {
  const owner = parts.owner(what);
  const has = parts.records.carry(key, owner, parts.isAlive);
  if (has.pid !== owner.pid || has.startTime !== owner.startTime)
    throw new BakehouseError("RESOURCE_BUSY", `Process ${has.pid} on ${has.host} ${has.what}`, {
      hint: "it does what is asked for; or end it first",
    });
  try {
    return await work();
  } finally {
    parts.records.letGo(key, owner);
  }
}

const isSettled = ({ slots, reports, underWay, rollout, remedies }: FleetTurn): boolean =>
  rollout === undefined &&
  underWay === 0 &&
  remedies.length === 0 &&
  reports.length === slots.length &&
  slots.every(({ slot }) => reports.some((report) => report.slot === slot && report.health === "healthy" && report.serving));

/** Nothing is under way, and what is wrong is left to people. */
const isStuck = ({ left, underWay, remedies }: FleetTurn): boolean =>
  underWay === 0 &&
  remedies.length === 0 &&
  left.length > 0 &&
  left.every(({ why }) => why.startsWith("flapping") || why.includes("cannot be replaced") || why.includes("deny list"));

/** What it follows by now, if that is not what it is declared to run. */
export function newerImage(parts: FleetParts, fleet: KnownFleet): ImageDigest | undefined {
  try {
    const { image } = fleetRelease(parts.store, imageReference(fleet));
    return image === fleet.declared ? undefined : image;
  } catch (error) {
    if (error instanceof BakehouseError) return undefined; // its channel points to nothing any more
    throw error;
  }
}
