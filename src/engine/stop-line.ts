import type { ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { fleetKey, type LineStop } from "../ports/fleet-records.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { fleetRelease } from "./fleet-release.ts";
import { recordDeed } from "./record-deed.ts";

export interface StopLineOptions {
  /** Absent: every fleet of the store. */
  readonly fleet?: string;
  readonly reason: string;
  /** When it ends by itself; absent: when somebody releases it. */
  readonly until?: Date;
  /** References of images that may go out all the same. */
  readonly except: readonly string[];
  readonly as?: string;
}

/** Stops the line: no rollout begins anything new from now on. What is under way is finished. @throws FLEET_NOT_FOUND, IMAGE_NOT_FOUND, INPUT_INVALID */
export async function stopLine(parts: FleetParts, options: StopLineOptions): Promise<LineStop> {
  const now = parts.clock.now();
  const { until, reason } = options;
  if (until !== undefined && until.getTime() <= now.getTime())
    throw new BakehouseError("INPUT_INVALID", `${until.toISOString()} is over already`, {
      hint: "--for 2h, or --until with a time to come",
    });
  const key = options.fleet === undefined ? undefined : fleetKey(findFleet(parts.records, options.fleet));
  const owner = options.as ?? (await parts.baker());
  const except = options.except.map((reference): ImageDigest => fleetRelease(parts.store, reference).image);
  const stopOf = (number: number): LineStop => ({
    id: `stop-${number}`,
    ...(key === undefined ? {} : { fleet: key }),
    owner,
    reason,
    from: now.toISOString(),
    ...(until === undefined ? {} : { until: until.toISOString() }),
    except,
  });
  // counted and written in one step: two who stop it at the same moment get an id each
  const stop = parts.records.atOnce(() => {
    const written = stopOf(parts.records.stops().length + 1);
    parts.records.stop(written);
    return written;
  });
  await recordDeed(parts, "line-stopped", key ?? "*", {
    what: `${stop.id} by ${owner}${until === undefined ? "" : ` until ${until.toISOString()}`}`,
    reason,
  });
  return stop;
}

/** @throws INPUT_INVALID when there is no such stop, or it was released before */
export async function releaseLine(parts: FleetParts, id: string, reason: string, as?: string): Promise<LineStop> {
  const stop = parts.records.stops().find((each) => each.id === id);
  const who = as ?? (await parts.baker());
  const lifted = { who, at: parts.clock.now().toISOString(), reason };
  if (stop === undefined || !parts.records.lift(id, lifted))
    throw new BakehouseError(
      "INPUT_INVALID",
      stop === undefined
        ? `Nothing is stopped by ${JSON.stringify(id)}`
        : `${id} was released before, by ${stop.lifted?.who ?? "somebody"}`,
      {
        hint: "bakehouse line list",
      },
    );
  await recordDeed(parts, "line-released", stop.fleet ?? "*", { what: `${id} by ${who}`, reason });
  return { ...stop, lifted };
}
