import { amountText, numberOf } from "./amount.ts";
import { cohortOrder, type Candidate } from "./cohort.ts";
import type { CanaryStep, People, RolloutPolicy } from "./policy.ts";

/** What is known of an instance when the plan is made. */
export interface PlannedInstance extends Candidate {
  /** Digest that it runs. */
  readonly running: string | undefined;
  /** It counts as unreachable until it answers. */
  readonly silent?: boolean;
}

/** How an instance comes to the target. */
export interface RolloutMethod {
  /** `activate`: the machine stays and changes to the release in place. `replace`: another machine takes over. */
  readonly kind: "activate" | "replace";
  /** What it was chosen for, in words: whoever approves the plan reads it. */
  readonly why: string;
}

/** A digest that may not be applied, and why. */
export interface Barred {
  readonly digest: string;
  readonly reason: string;
}

export interface PlanRequest {
  readonly rollout: string;
  readonly fleet: string;
  /** Digest to bring the fleet to. */
  readonly target: string;
  /** Digest to go back to, of an image that is there and neither revoked nor denied; absent: there is none. */
  readonly back?: string;
  readonly policy: RolloutPolicy;
  readonly instances: readonly PlannedInstance[];
  /** What a rollout has put on the fleet's deny list: nothing applies it there again. */
  readonly denied?: readonly Barred[];
  readonly revoked?: readonly Barred[];
  /** Digests that were asked for and are not there, so that no machine can be made from them. */
  readonly missing?: readonly string[];
  /** Absent: whoever carries the rollout out decides. With `activate` there are no machines beyond the fleet's size, whatever `maxSurge` says. */
  readonly method?: RolloutMethod;
  /** Makes another order of the same release. Default none. */
  readonly salt?: string;
}

/** Limits as whole numbers, for a fleet of this size. */
export interface Limits {
  readonly maxUnavailable: number;
  readonly minHealthy: number;
  readonly maxSurge: number;
  readonly errors: number;
  readonly unreachable: number;
}

export interface Wave {
  /** Indexes into `instances`: from, and up to but not including. */
  readonly from: number;
  readonly to: number;
  readonly soakMs: number;
  /** Share of the traffic that everything on the target gets together, of a hundred; absent: each instance as much as any other. */
  readonly weight?: number;
}

export interface RolloutPlan {
  readonly rollout: string;
  readonly fleet: string;
  readonly target: string;
  readonly back?: string;
  readonly method?: RolloutMethod;
  readonly policy: RolloutPolicy;
  /** In the order in which they are moved. */
  readonly instances: readonly PlannedInstance[];
  /** Those that run the target already: not moved, but their health counts. */
  readonly settled: readonly PlannedInstance[];
  readonly waves: readonly Wave[];
  readonly limits: Limits;
  /** Of each zone: how many it has, and how many are left at the worst moment if nothing fails. */
  readonly zones: readonly { readonly zone: string; readonly size: number; readonly worst: number }[];
}

export type Planned = { readonly plan: RolloutPlan } | { readonly problems: readonly string[] };

export const limitsOf = (policy: RolloutPolicy, size: number, method?: RolloutMethod): Limits => ({
  maxUnavailable: numberOf(policy.maxUnavailable, size, "down"),
  minHealthy: numberOf(policy.minHealthy, size, "up"),
  maxSurge: method?.kind === "activate" ? 0 : numberOf(policy.maxSurge, size, "up"),
  errors: numberOf(policy.errors.allowed, size, "down"),
  unreachable: numberOf(policy.unreachable.allowed, size, "down"),
});

/** How many healthy instances may be taken away at this moment, by whomever: one budget for rollouts, healing and scaling. */
export const roomIn = (
  { size, down }: { readonly size: number; readonly down: number },
  { maxUnavailable, minHealthy }: Pick<Limits, "maxUnavailable" | "minHealthy">,
): number => Math.max(0, Math.min(maxUnavailable - down, size - down - minHealthy));

/** Everything about a rollout that can be known before it begins. */
export function planRollout(request: PlanRequest): Planned {
  const { policy, instances, target, salt = "" } = request;
  const limits = limitsOf(policy, instances.length, request.method);
  const problems = [...policyProblems(request, limits)];
  if (problems.length > 0) return { problems };
  const moved = cohortOrder(
    instances.filter(({ running }) => running !== target),
    { digest: target, salt },
  );
  const waves = wavesOf(policy, moved.length);
  const plan = {
    rollout: request.rollout,
    fleet: request.fleet,
    target,
    ...(request.back === undefined ? {} : { back: request.back }),
    ...(request.method === undefined ? {} : { method: request.method }),
    policy,
    instances: moved,
    settled: instances.filter(({ running }) => running === target),
    waves,
    limits,
    zones: worstOfZones(policy, instances, { instances: moved, waves, limits }),
  };
  return { plan };
}

/** What can never work, with the numbers that collide. */
function* policyProblems(request: PlanRequest, limits: Limits): Iterable<string> {
  const { policy, instances, target, back } = request;
  const { length: size } = instances;
  if (size === 0) yield "the fleet has no instances";
  if (policy.onHalt === "roll-back" && back === undefined) yield "onHalt: roll-back, but there is no image to go back to: use onHalt: hold";
  yield* barredProblems(request, target, "the image");
  if (back !== undefined && back !== target) yield* barredProblems(request, back, "the image to go back to");
  if (back === target) yield `the image to go back to is the one that is rolled out: ${target}`;
  if (policy.strategy.kind === "canary") yield* canaryProblems(policy.strategy.steps);
  if (policy.timeoutMs <= 0) yield "no move can end in time: timeout is 0";
  if (size > 0) yield* budgetProblems(request, limits);
}

function* budgetProblems({ policy, instances, method }: PlanRequest, { maxUnavailable, minHealthy, maxSurge }: Limits): Iterable<string> {
  const { kind } = policy.strategy;
  const { length: size } = instances;
  const least = `minHealthy ${amountText(policy.minHealthy)}`;
  const inPlace = method?.kind === "activate" ? `instances change in place (${method.why})` : undefined;
  if (inPlace !== undefined && kind === "blue-green")
    yield `blue-green needs a second set of machines, and ${inPlace}: replace them, or use rolling or canary`;
  if (kind === "all-at-once") return; // asks for no budget
  if (minHealthy > size) yield `${least} is more than the ${size} instances that there are`;
  if (kind === "blue-green" || maxSurge > 0) return; // new machines come beside the old ones
  if (maxUnavailable === 0) {
    const told = `maxUnavailable ${amountText(policy.maxUnavailable)} of ${size} is 0`;
    yield inPlace === undefined
      ? `nothing may move: ${told}, and maxSurge ${amountText(policy.maxSurge)} of ${size} is 0; allow one of them`
      : `nothing may move: ${told}, and ${inPlace}, which maxSurge does not help; raise maxUnavailable`;
  }
  if (minHealthy !== size) return;
  const without =
    inPlace === undefined
      ? "without surge one less is healthy while an instance is moved; allow maxSurge"
      : `${inPlace}: one less is healthy meanwhile; lower minHealthy`;
  yield `nothing may move: ${least} of ${size} is ${minHealthy}, and ${without}`;
}

function* barredProblems({ fleet, denied = [], revoked = [], missing = [] }: PlanRequest, digest: string, what: string): Iterable<string> {
  for (const { reason } of denied.filter((each) => each.digest === digest))
    yield `${what} is on the deny list of ${fleet}: ${digest}: ${reason}`;
  for (const { reason } of revoked.filter((each) => each.digest === digest)) yield `${what} is revoked: ${digest}: ${reason}`;
  if (missing.includes(digest)) yield `${what} is not there: ${digest}`;
}

function* canaryProblems(steps: readonly CanaryStep[]): Iterable<string> {
  const [first] = steps;
  if (first === undefined) yield "a canary needs at least one step";
  else if (first.to === undefined)
    yield `step 1 gives ${first.weight ?? 0} % of the traffic to the new instances, and there are none yet: say how many with "to"`;
  for (const [index, { weight = 0 }] of steps.entries())
    if (!(weight >= 0 && weight <= 100)) yield `step ${index + 1} has the weight ${weight}: a share of the traffic is from 0 to 100`;
}

/**
 * Whether people have to approve after a wave, from 0. After the last one nothing is left to begin but the switch of blue/green. A wave
 * that a small fleet does not have is its last: nobody who is to approve is passed over.
 */
export const isAskedAfter = ({ waves }: People, wave: number, plan: Pick<RolloutPlan, "waves" | "policy">): boolean =>
  waves?.some((each) => Math.min(each, plan.waves.length) === wave + 1) ??
  (wave < plan.waves.length - 1 || plan.policy.strategy.kind === "blue-green");

/** How long a rollout takes from its beginning to its end, if each move takes so long, gates answer at once and nothing goes wrong. */
export function shortestMs({ policy, waves, limits, instances, settled }: RolloutPlan, moveMs: number): number {
  const size = instances.length + settled.length;
  const atOnce = policy.strategy.kind === "blue-green" || policy.strategy.kind === "all-at-once";
  const abreast = atOnce ? size : Math.max(1, Math.min(limits.maxUnavailable, size - limits.minHealthy) + limits.maxSurge);
  const kept = policy.strategy.kind === "blue-green" ? policy.strategy.keepOldMs : 0;
  return waves.reduce((sum, { from, to, soakMs }) => sum + Math.ceil((to - from) / abreast) * moveMs + soakMs, kept);
}

/** Cumulative ends; a step that adds nobody and no weight is none. */
function wavesOf({ strategy }: RolloutPolicy, count: number): readonly Wave[] {
  const steps: Step[] = strategy.kind === "canary" ? stepsOf(strategy.steps, count) : [];
  if (strategy.kind === "rolling") {
    const batch = Math.max(1, numberOf(strategy.batch, count, "up"));
    for (let end = batch; end < count; end += batch) steps.push({ end, soakMs: strategy.soakMs });
  }
  const lastSoak = strategy.kind === "canary" ? (strategy.steps.at(-1)?.soakMs ?? 0) : strategy.soakMs;
  const waves: Wave[] = [];
  let from = 0;
  for (const { end, soakMs, weight } of [...steps, { end: count, soakMs: lastSoak }]) {
    const to = Math.max(from, Math.min(Math.max(end, steps.length > 0 && from === 0 ? 1 : end), count));
    const isWeighed = weight !== undefined && to < count; // else nobody is left for the other requests
    if (to === from && !isWeighed) continue;
    waves.push({ from, to, soakMs, ...(isWeighed ? { weight } : {}) });
    from = to;
  }
  return waves;
}

interface Step {
  readonly end: number;
  readonly soakMs: number;
  readonly weight?: number;
}

function stepsOf(steps: readonly CanaryStep[], count: number): Step[] {
  let end = 0;
  return steps.map(({ to, soakMs, weight }) => {
    if (to !== undefined) end = numberOf(to, count, "up");
    return { end, soakMs, ...(weight === undefined ? {} : { weight }) };
  });
}

/** All that may be taken down at once could be in one zone, as far as one wave has so many there. */
function worstOfZones(
  policy: RolloutPolicy,
  instances: readonly PlannedInstance[],
  plan: Pick<RolloutPlan, "instances" | "waves" | "limits">,
) {
  const { maxUnavailable, minHealthy } = plan.limits;
  const broken = instances.filter(({ healthy }) => !healthy).length;
  const budget: Readonly<Record<RolloutPolicy["strategy"]["kind"], number>> = {
    "blue-green": 0,
    "all-at-once": instances.length,
    rolling: Math.max(0, Math.min(maxUnavailable, instances.length - minHealthy) - broken),
    canary: Math.max(0, Math.min(maxUnavailable, instances.length - minHealthy) - broken),
  };
  const zones = new Map<string, { size: number; healthy: number; most: number }>();
  for (const { zone, healthy } of instances) {
    const { size, healthy: well } = zones.get(zone) ?? { size: 0, healthy: 0 };
    zones.set(zone, { size: size + 1, healthy: well + Number(healthy), most: 0 });
  }
  for (const { from, to } of plan.waves) {
    const counts = new Map<string, number>();
    for (const { zone, healthy } of plan.instances.slice(from, to)) counts.set(zone, (counts.get(zone) ?? 0) + Number(healthy));
    for (const [zone, count] of counts) {
      const known = zones.get(zone);
      if (known !== undefined) known.most = Math.max(known.most, count);
    }
  }
  return [...zones]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([zone, { size, healthy, most }]) => ({ zone, size, worst: healthy - Math.min(budget[policy.strategy.kind], most) }));
}

/** What a plan's hash is made of: everything that somebody approves. */
export const planText = (plan: RolloutPlan): string =>
  JSON.stringify([
    plan.rollout,
    plan.fleet,
    plan.target,
    plan.back ?? null,
    plan.method ?? null,
    plan.policy,
    plan.waves,
    [...plan.instances, ...plan.settled].map(({ id, zone, running }) => [id, zone, running ?? null]),
  ]);
