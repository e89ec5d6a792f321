import type { ImageDigest } from "../core/digest.ts";
import { shortDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { DEFAULT_POLICY } from "../core/fleet/default-policy.ts";
import type { InstanceReport } from "../core/fleet/instance.ts";
import { differOnlyInVolume, type FleetRelease } from "../core/fleet/release.ts";
import { slotsOf } from "../core/fleet/slots.ts";
import { numberOf } from "../core/rollout/amount.ts";
import {
  planRollout,
  planText,
  shortestMs,
  type Barred,
  type PlannedInstance,
  type RolloutMethod,
  type RolloutPlan,
} from "../core/rollout/plan.ts";
import type { RolloutPolicy } from "../core/rollout/policy.ts";
import { fleetKey, type KnownFleet } from "../ports/fleet-records.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { fleetRelease } from "./fleet-release.ts";
import { fitInto, frozenAt, type Fit, type Frozen } from "../core/rollout/freeze.ts";
import { calendarOf } from "./line-stops.ts";
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
  /** Why nothing may begin at this moment: a freeze, a stopped line, no open window. */
  readonly frozen?: Frozen;
  /** Where it fits between those. */
  readonly fit: Fit;
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
  requireNotRevoked(parts, release.image);
  const provider = parts.provider(fleet);
  const reports = await provider.observe();
  const policy = fleet.fleet.rollout ?? DEFAULT_POLICY;
  const instances = instancesOf(fleet, reports, provider.can);
  const nothingMoves = instances.every(({ running }) => running === release.image);
  const back = backOf(parts, fleet, release.image, policy, options.back);
  const planned = planRollout({
    rollout: "",
    fleet: fleetKey(fleet),
    target: release.image,
    ...(back.back === undefined ? {} : { back: back.back }),
    policy: nothingMoves ? { ...policy, onHalt: "hold" } : policy, // then nothing goes back either
    instances,
    method: methodFor(parts, provider, policy, instances, release),
    denied: parts.records.denied(fleetKey(fleet)),
    revoked: back.revoked,
    missing: back.missing,
    salt: options.salt ?? "",
  });
  if ("problems" in planned) throw refused(fleet, release, planned.problems, instances);
  if (planned.plan.waves.some(({ weight }) => weight !== undefined) && !provider.can.weigh)
    throw refused(
      fleet,
      release,
      ["a step has a weight, and nothing shares traffic out before this fleet: give it `traffic`, or leave the weight out"],
      instances,
    );
  const { plan } = planned;
  const calendar = calendarOf(parts.records, fleet);
  const now = parts.clock.now();
  const frozen = frozenAt(calendar, now, release.image);
  const fit = fitInto(calendar, { now, target: release.image, needsMs: shortestMs(plan, MOVE_MS) });
  return {
    fleet,
    release,
    plan,
    hash: planHashOf(parts, plan),
    ...(frozen === undefined ? {} : { frozen }),
    fit,
    settled: plan.settled.length,
  };
}

/** A machine that is replaced is up within seconds (measured: 1 s for a cell, 2 s for a clone); a guess for one of somebody else. */
const MOVE_MS = 10_000;

function refused(
  fleet: KnownFleet,
  release: FleetRelease,
  problems: readonly string[],
  instances: readonly PlannedInstance[],
): BakehouseError {
  const key = fleetKey(fleet);
  const isDenied = problems.some((each) => each.includes("deny list"));
  return new BakehouseError(
    "ROLLOUT_REFUSED",
    `${key} cannot be brought to ${release.name} ${shortDigest(release.image)}:\n${problems.map((each) => `  ${each}`).join("\n")}`,
    {
      hint: !instances.some(({ running }) => running !== undefined)
        ? `bakehouse fleet converge ${key}   starts its instances`
        : isDenied
          ? `bakehouse fleet allow ${key} ${shortDigest(release.image)} --reason "…"`
          : "change the fleet's `rollout:` in the recipe, or name another image",
      details: problems,
    },
  );
}

/** Twelve hex digits of what somebody approves. */
export const planHashOf = (parts: Pick<FleetParts, "digestOf">, plan: RolloutPlan): string =>
  parts.digestOf(planText({ ...plan, rollout: "" })).slice("sha256:".length, "sha256:".length + 12);

/** What `findImage` takes: the image of the channel that it follows, or the pinned one. */
export const imageReference = ({ recipe, fleet: { runs } }: KnownFleet): string =>
  "pinned" in runs ? runs.pinned : `${recipe}/${runs.layer}@${runs.channel}`;

/** What to go back to, and what speaks against it; with `onHalt: hold` nothing does, since nobody goes back by itself. */
function backOf(
  parts: FleetParts,
  fleet: KnownFleet,
  target: ImageDigest,
  policy: RolloutPolicy,
  reference: string | undefined,
): { readonly back?: ImageDigest; readonly revoked: readonly Barred[]; readonly missing: readonly string[] } {
  const before = fleet.declared === target ? fleet.previous : fleet.declared;
  const back = reference === undefined ? (before === target ? undefined : before) : fleetRelease(parts.store, reference).image;
  if (back === undefined) return { revoked: [], missing: [] };
  const revoked = revocationsOfImage(parts.store, back, parts.clock.now()).map(({ reason }) => ({ digest: back, reason }));
  const missing = parts.store.images.entries().some(({ digest }) => digest === back) ? [] : [back];
  const isBarred = revoked.length > 0 || missing.length > 0 || parts.records.denied(fleetKey(fleet)).some(({ digest }) => digest === back);
  return isBarred && policy.onHalt === "hold" && reference === undefined ? { revoked: [], missing: [] } : { back, revoked, missing };
}

/** One for each slot, as it is at this moment. */
function instancesOf(
  { fleet, size }: KnownFleet,
  reports: readonly InstanceReport[],
  { replace }: FleetProvider["can"],
): readonly PlannedInstance[] {
  return slotsOf(fleet, size).map(({ slot, zone }) => {
    const mine = reports.filter((report) => report.slot === slot && report.bootedAt !== undefined);
    const report = mine.find(({ serving }) => serving) ?? mine[0];
    const ring = fleet.first.includes(slot)
      ? ({ ring: "first" } as const)
      : fleet.neverFirst.includes(slot)
        ? ({ ring: "never-first" } as const)
        : {};
    // one that is made anew is being started then; one that is given does not answer
    const isSilent = ({ slot: of, health, bootedAt }: InstanceReport): boolean =>
      of === slot && health === "unknown" && bootedAt === undefined;
    const silent = !replace && reports.some(isSilent) ? { silent: true } : {};
    return { id: slot, zone, running: report?.running, healthy: report?.health === "healthy", ...ring, ...silent };
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
