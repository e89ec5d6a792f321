import { isProbed } from "../core/gates/model.ts";
import { BakehouseError } from "../core/errors.ts";
import { shortDigest, type ImageDigest } from "../core/digest.ts";
import { admitRelease } from "../core/rollout/admit.ts";
import { fleetKey, type KnownFleet, type QueuedRelease, type RolloutSummary } from "../ports/fleet-records.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { planFleetRollout, type FleetPlan, type PlanFleetOptions } from "./plan-fleet-rollout.ts";
import { nameOf } from "./find-image.ts";
import { recordDeed, recordDeedOnce } from "./record-deed.ts";

export interface StartRolloutOptions extends PlanFleetOptions {
  /** Hash of the plan as it was seen; another plan is refused. */
  readonly planHash?: string;
}

export interface StartedRollout extends FleetPlan {
  /** Absent: every instance runs the image already, and nothing was begun. */
  readonly id?: string;
  /** It waits for its turn, and what for; it is planned anew when it begins. */
  readonly queued?: string;
}

/**
 * Begins a rollout, or lets it wait for its turn where the fleet's `newRelease` says so: from here on whoever carries the fleet carries it.
 *
 * @throws what `planFleetRollout` does; ROLLOUT_REFUSED when the plan changed, a gate does not hold, or another one is under way
 */
export async function startRollout(parts: FleetParts, options: StartRolloutOptions): Promise<StartedRollout> {
  const planned = await planFleetRollout(parts, options);
  const { fleet, hash } = planned;
  const key = fleetKey(fleet);
  if (options.planHash !== undefined && options.planHash !== hash)
    throw new BakehouseError(
      "ROLLOUT_REFUSED",
      `The plan is ${hash} by now, and not ${options.planHash}: the fleet, the image or the policy changed`,
      {
        hint: `bakehouse rollout plan ${key}`,
      },
    );
  if (planned.plan.instances.length === 0 && !isUnderWay(parts, key)) return planned;
  await testGates(parts, planned);
  const by = await parts.baker();
  const written = parts.records.atOnce(() => admit(parts, planned, by, options));
  parts.reach("rollout-begun");
  if (written.queued === undefined) await recordStart(parts, key, written.id);
  return { ...planned, plan: { ...planned.plan, rollout: written.id }, ...written };
}

/**
 * Begins a release that waited, with a plan of now.
 *
 * @returns its id; nothing when it cannot begin any more, which is recorded
 */
export async function beginQueued(parts: FleetParts, fleet: KnownFleet, release: QueuedRelease): Promise<string | undefined> {
  const key = fleetKey(fleet);
  const { rollout: id, image, back, salt, askedBy } = release;
  try {
    const planned = await planFleetRollout(parts, {
      fleet: key,
      image,
      ...(back === undefined ? {} : { back }),
      ...(salt === undefined ? {} : { salt }),
    });
    await testGates(parts, planned);
    const isMine = parts.records.atOnce(() => parts.records.dequeue(key, id) && begin(parts, planned, id, askedBy) === undefined);
    if (!isMine) return undefined;
    await recordStart(parts, key, id);
    return id;
  } catch (error) {
    if (!(error instanceof BakehouseError)) throw error;
    if (parts.records.dequeue(key, id))
      await recordDeed(parts, "rollout-ended", key, { what: `${id} was not begun`, rollout: id, image, reason: error.message });
    return undefined;
  }
}

const isUnderWay = (parts: FleetParts, key: string): boolean => parts.records.openRollout(key) !== undefined;

/** Decides and writes it down in one step, so that of two at the same moment exactly one begins. */
function admit(
  parts: FleetParts,
  planned: FleetPlan,
  by: string,
  options: PlanFleetOptions,
): { readonly id: string; readonly queued?: string } {
  const { records } = parts;
  const { fleet, plan, release } = planned;
  const key = fleetKey(fleet);
  const waiting = records.queued(key);
  const open = records.openRollout(key);
  const id = idFor([...records.rollouts().map((each) => each.id), ...waiting.map(({ rollout }) => rollout)], fleet.fleet.name);
  const asked = { rollout: id, target: release.image, atMs: parts.clock.now().getTime() };
  const underWay = open === undefined ? {} : { underWay: { rollout: open.id, target: open.target, status: open.status } };
  const admission = admitRelease(asked, { waiting, ...underWay }, fleet.fleet.newRelease);
  if (admission.kind === "refuse") throw busy(key, admission.why, open?.id ?? waiting[0]?.rollout ?? id);
  if (admission.kind === "start") {
    begin(parts, planned, id, by);
    return { id };
  }
  if (admission.kind === "supersede") for (const dropped of admission.drop) records.dequeue(key, dropped);
  records.enqueue(key, {
    ...asked,
    image: release.image,
    ...(options.back === undefined || plan.back === undefined ? {} : { back: plan.back as ImageDigest }),
    ...(options.salt === undefined ? {} : { salt: options.salt }),
    askedBy: by,
    supersedes: admission.kind === "supersede" && admission.tell !== undefined,
  });
  return { id, queued: admission.why };
}

function begin(parts: FleetParts, { fleet, plan, hash }: FleetPlan, id: string, startedBy: string): RolloutSummary | undefined {
  const clock = parts.machineClock();
  const named = { ...plan, rollout: id };
  return parts.records.begin({
    id,
    fleet: fleetKey(fleet),
    plan: named,
    origin: { plan: named, planHash: hash, startedBy, nowMs: clock?.uptimeMs ?? 0 },
    bootId: clock?.bootId ?? "",
    at: parts.clock.now().toISOString(),
  });
}

async function recordStart(parts: FleetParts, key: string, id: string): Promise<void> {
  const summary = parts.records.rollouts(key).find((each) => each.id === id);
  if (summary !== undefined) await recordStartOnce(parts, summary);
}

/** By whoever starts it, and by whoever carries it, should the one have died before that. */
export async function recordStartOnce(
  parts: FleetParts,
  { id, fleet, startedAt }: Pick<RolloutSummary, "id" | "fleet" | "startedAt">,
): Promise<void> {
  const { plan, planHash, startedBy } = parts.records.open(id).origin;
  const image = plan.target as ImageDigest;
  const entry = parts.store.images.entries().find(({ digest }) => digest === image);
  const what = `${id}: ${entry === undefined ? "" : `${nameOf(entry)} `}${shortDigest(image)}`;
  const by = { ...parts, baker: () => Promise.resolve(startedBy) };
  await recordDeedOnce(by, "rollout-started", fleet, { what, rollout: id, image, planHash }, startedAt);
}

/** A gate that gets no data, or passes bad data, lets everything through: nothing begins with it. */
async function testGates(parts: FleetParts, { fleet, plan }: FleetPlan): Promise<void> {
  const gates = (fleet.fleet.rollout?.gates ?? []).filter(isProbed);
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
const idFor = (ids: readonly string[], name: string): string =>
  `${name}-r${Math.max(0, ...ids.map((id) => Number(/-r(\d+)$/.exec(id)?.[1] ?? 0))) + 1}`;

const busy = (key: string, why: string, id: string): BakehouseError =>
  new BakehouseError("ROLLOUT_REFUSED", `${key} has one rollout at a time: ${why}`, {
    hint: `bakehouse rollout watch ${id}, bakehouse rollout abort ${id}, or \`newRelease: queue\` in the recipe`,
  });
