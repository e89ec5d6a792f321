import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { DEFAULT_POLICY } from "../core/fleet/default-policy.ts";
import type { InstanceReport } from "../core/fleet/instance.ts";
import { differOnlyInVolume, type FleetRelease } from "../core/fleet/release.ts";
import { slotsOf } from "../core/fleet/slots.ts";
import { numberOf } from "../core/rollout/amount.ts";
import { planRollout, planText, type PlannedInstance, type RolloutMethod, type RolloutPlan } from "../core/rollout/plan.ts";
import type { RolloutPolicy } from "../core/rollout/policy.ts";
import { fleetKey, type KnownFleet } from "../ports/fleet-records.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { fleetRelease } from "./fleet-release.ts";
import { lineStopFor } from "./line-stops.ts";
import { requireNotRevoked, revocationsOfImage } from "./require-not-revoked.ts";

export interface PlanFleetOptions {
  /** Name of the fleet; absent: the only one. */
  readonly fleet?: string;
  /** Reference of the image; absent: the one that the fleet follows. */
  readonly image?: string;
  /** Reference of the image to go back to; absent: what the fleet is declared to run. */
  readonly back?: string;
  /** Another order of the same release. */
  readonly salt?: string;
}

/** What would happen, before anything does. */
export interface FleetPlan {
  readonly fleet: KnownFleet;
  readonly release: FleetRelease;
  readonly plan: RolloutPlan;
  readonly hash: string;
  /** What holds it up at this moment, such as a line that is stopped. */
  readonly holds: readonly string[];
  /** How many run the image already. */
  readonly settled: number;
}

/**
 * Plans how a fleet comes to an image. The plan is the same as long as nothing changes, and so is its hash.
 *
 * @throws FLEET_NOT_FOUND, IMAGE_NOT_FOUND, CHANNEL_NOT_FOUND, IMAGE_REVOKED; ROLLOUT_REFUSED with all that makes it impossible
 */
export async function planFleetRollout(parts: FleetParts, options: PlanFleetOptions): Promise<FleetPlan> {
  const fleet = findFleet(parts.records, options.fleet);
  const release = fleetRelease(parts.store, options.image ?? imageReference(fleet));
  const problems: string[] = [];
  requireNotRevoked(parts, release.image);
  const denied = parts.records.denied(fleetKey(fleet)).find(({ digest }) => digest === release.image);
  if (denied !== undefined)
    problems.push(
      `${shortDigest(release.image)} is on the deny list of the fleet since ${denied.at}: ${denied.reason}; \`bakehouse fleet allow ${fleetKey(fleet)} ${shortDigest(release.image)}\` takes it off`,
    );
  const provider = parts.provider(fleet);
  const reports = await provider.observe();
  const policy = fleet.fleet.rollout ?? DEFAULT_POLICY;
  const back = options.back === undefined ? fleet.declared : fleetRelease(parts.store, options.back).image;
  const usable = usableBack(parts, fleet, policy, back, release.image);
  problems.push(...usable.problems);
  const instances = instancesOf(fleet, reports);
  const method = methodFor(parts, provider, policy, instances, release);
  const planned = planRollout({
    rollout: "",
    fleet: fleetKey(fleet),
    target: release.image,
    ...(usable.back === undefined ? {} : { back: usable.back }),
    policy: instances.every(({ running }) => running === release.image) ? { ...policy, onHalt: "hold" } : policy, // nothing moves, nothing goes back
    instances,
    method,
    salt: options.salt ?? "",
  });
  if ("problems" in planned) problems.push(...planned.problems);
  if (problems.length > 0 || "problems" in planned)
    throw new BakehouseError(
      "ROLLOUT_REFUSED",
      `${fleetKey(fleet)} cannot be brought to ${release.name} ${shortDigest(release.image)}:\n${problems.map((each) => `  ${each}`).join("\n")}`,
      {
        hint: instances.some(({ running }) => running !== undefined)
          ? "change the fleet's `rollout:` in the recipe, or name another image"
          : `bakehouse fleet converge ${fleetKey(fleet)}   starts its instances`,
        details: problems,
      },
    );
  const { plan } = planned;
  const stop = lineStopFor(parts.records, fleet, release.image, parts.clock.now());
  return { fleet, release, plan, hash: planHashOf(parts, plan), holds: stop === undefined ? [] : [stop], settled: plan.settled.length };
}

/** Twelve hex digits of what somebody approves. */
export const planHashOf = (parts: Pick<FleetParts, "digestOf">, plan: RolloutPlan): string =>
  parts.digestOf(planText({ ...plan, rollout: "" })).slice("sha256:".length, "sha256:".length + 12);

/** What `findImage` takes: the image of the channel that it follows, or the pinned one. */
export const imageReference = ({ recipe, fleet: { runs } }: KnownFleet): string =>
  "pinned" in runs ? runs.pinned : `${recipe}/${runs.layer}@${runs.channel}`;

function usableBack(
  parts: FleetParts,
  fleet: KnownFleet,
  policy: RolloutPolicy,
  back: ImageDigest | undefined,
  target: ImageDigest,
): { readonly back?: ImageDigest; readonly problems: readonly string[] } {
  if (back === undefined) return { problems: [] };
  if (back === target)
    return fleet.previous === undefined || fleet.previous === target
      ? { problems: [] }
      : usableBack(parts, fleet, policy, fleet.previous, target);
  const told = `the image to go back to, ${shortDigest(back)},`;
  const problems: string[] = [];
  const [revoked] = revocationsOfImage(parts.store, back, parts.clock.now());
  if (revoked !== undefined) problems.push(`${told} is revoked: ${revoked.reason}`);
  if (!parts.store.images.entries().some(({ digest }) => digest === back)) problems.push(`${told} is not in this store any more`);
  const denied = parts.records.denied(fleetKey(fleet)).find(({ digest }) => digest === back);
  if (denied !== undefined) problems.push(`${told} is on the deny list of the fleet: ${denied.reason}`);
  if (problems.length === 0) return { back, problems };
  // with `hold` nobody goes back by itself: it may go out all the same
  return policy.onHalt === "roll-back"
    ? { problems: problems.map((each) => `${each}; name another with --back, or write onHalt: hold`) }
    : { problems: [] };
}

/** One for each slot, as it is at this moment. */
function instancesOf({ fleet, size }: KnownFleet, reports: readonly InstanceReport[]): readonly PlannedInstance[] {
  return slotsOf(fleet, size).map(({ slot, zone }) => {
    const mine = reports.filter((report) => report.slot === slot && report.bootedAt !== undefined);
    const report = mine.find(({ serving }) => serving) ?? mine[0];
    const ring = fleet.first.includes(slot)
      ? ({ ring: "first" } as const)
      : fleet.neverFirst.includes(slot)
        ? ({ ring: "never-first" } as const)
        : {};
    return { id: slot, zone, running: report?.running, healthy: report?.health === "healthy", ...ring };
  });
}

/** In place where that is possible and allowed, since it takes milliseconds; else by other machines. */
function methodFor(
  parts: FleetParts,
  { can }: FleetProvider,
  policy: RolloutPolicy,
  instances: readonly PlannedInstance[],
  release: FleetRelease,
): RolloutMethod {
  const replace = (why: string): RolloutMethod => ({ kind: "replace", why });
  if (!can.replace) return { kind: "activate", why: "the machines are given, and only what they run is exchanged" };
  if (!can.activate) return replace("the provider cannot exchange the release of a running machine");
  if (policy.strategy.kind === "blue-green") return replace("blue/green needs a second set of machines");
  if (release.volume === undefined) return replace(`${release.name} is a whole image and no release volume`);
  const others = new Set(instances.flatMap(({ running }) => (running === undefined || running === release.image ? [] : [running])));
  for (const running of others) {
    const known = parts.store.images.entries().some(({ digest }) => digest === running);
    if (!known) return replace(`what some instances run, ${shortDigest(running as ImageDigest)}, is not in this store any more`);
    if (!differOnlyInVolume(fleetRelease(parts.store, running), release))
      return replace(`the root image differs from that of ${shortDigest(running as ImageDigest)}`);
  }
  if (instances.some(({ running }) => running === undefined)) return replace("some instances do not say what they run");
  if (numberOf(policy.maxUnavailable, instances.length, "down") === 0)
    return replace("maxUnavailable lets no instance be taken out, and maxSurge another one come first");
  return { kind: "activate", why: "only the release volume differs" };
}
