import { BakehouseError } from "../core/errors.ts";
import { shortDigest } from "../core/digest.ts";
import { fleetKey, type RolloutSummary } from "../ports/fleet-records.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { planFleetRollout, type FleetPlan, type PlanFleetOptions } from "./plan-fleet-rollout.ts";
import { recordDeed } from "./record-deed.ts";

export interface StartRolloutOptions extends PlanFleetOptions {
  /** Hash of the plan as it was seen; another plan is refused. */
  readonly planHash?: string;
}

export interface StartedRollout extends FleetPlan {
  /** Absent: every instance runs the image already, and nothing was begun. */
  readonly id?: string;
}

/**
 * Begins a rollout: from here on whoever carries the fleet carries it.
 *
 * @throws what `planFleetRollout` does; ROLLOUT_REFUSED when the plan changed, when nothing is to be moved, or when another one is under way
 */
export async function startRollout(parts: FleetParts, options: StartRolloutOptions): Promise<StartedRollout> {
  const planned = await planFleetRollout(parts, options);
  const { fleet, hash, release } = planned;
  const key = fleetKey(fleet);
  if (options.planHash !== undefined && options.planHash !== hash)
    throw new BakehouseError(
      "ROLLOUT_REFUSED",
      `The plan is ${hash} by now, and not ${options.planHash}: the fleet, the image or the policy changed`,
      {
        hint: `bakehouse rollout plan ${key}`,
      },
    );
  if (planned.plan.instances.length === 0) return planned;
  await testGates(parts, planned);
  const clock = parts.machineClock();
  const at = parts.clock.now().toISOString();
  const startedBy = await parts.baker();
  const id = idFor(parts.records.rollouts(), fleet.fleet.name);
  const plan = { ...planned.plan, rollout: id };
  const inTheWay = parts.records.begin({
    id,
    fleet: key,
    plan,
    origin: { plan, planHash: hash, startedBy, nowMs: clock?.uptimeMs ?? 0 },
    bootId: clock?.bootId ?? "",
    at,
  });
  if (inTheWay !== undefined) throw busy(inTheWay);
  parts.reach("rollout-begun");
  await recordDeed(parts, "rollout-started", key, {
    what: `${id}: ${release.name} ${shortDigest(release.image)}`,
    rollout: id,
    image: release.image,
    planHash: hash,
  });
  return { ...planned, plan, id };
}

/** A gate that gets no data, or passes bad data, lets everything through: nothing begins with it. */
async function testGates(parts: FleetParts, { fleet, plan }: FleetPlan): Promise<void> {
  const gates = fleet.fleet.rollout?.gates ?? [];
  if (gates.length === 0) return;
  const provider = parts.provider(fleet);
  const untouched = (await provider.observe())
    .filter(({ serving, running }) => serving && running !== plan.target)
    .map(({ id }) => ({ id }));
  const probes = parts.gates(fleet, provider);
  const firstWave = plan.waves[0] === undefined ? 1 : plan.waves[0].to - plan.waves[0].from;
  const signal = AbortSignal.timeout(SELF_TEST_MS);
  const answers = await Promise.all(
    gates.map(async (gate) => ({ gate, answer: await probes.selfTest(gate, untouched, firstWave, signal) })),
  );
  const bad = answers.filter(({ answer }) => answer.verdict !== "passed");
  if (bad.length === 0) return;
  throw new BakehouseError(
    "ROLLOUT_REFUSED",
    `Tried on data that is known to be bad, ${bad.length === 1 ? "a gate does" : "gates do"} not hold:\n${bad.map(({ gate, answer }) => `  ${gate.name}: ${answer.detail}`).join("\n")}`,
    {
      hint: "mend the gate's query or its source, or leave it out of the fleet's `rollout:`",
      details: bad.map(({ gate, answer }) => ({ gate: gate.name, detail: answer.detail })),
    },
  );
}

/** A guess: some gates look at a window of time. */
const SELF_TEST_MS = 60_000;

/** `web-r1`, `web-r2`: easy to say. Unique in the store, whichever fleet it is. */
const idFor = (rollouts: readonly RolloutSummary[], name: string): string =>
  `${name}-r${Math.max(0, ...rollouts.map(({ id }) => Number(/-r(\d+)$/.exec(id)?.[1] ?? 0))) + 1}`;

const busy = ({ id, status, target }: RolloutSummary): BakehouseError =>
  new BakehouseError("ROLLOUT_REFUSED", `Rollout ${id} to ${shortDigest(target)} is ${status}: a fleet has one at a time`, {
    hint: `bakehouse rollout watch ${id}, or bakehouse rollout abort ${id}`,
  });
