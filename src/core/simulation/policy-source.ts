import type { AskAgain, CanaryStep, Gate, People, RolloutPolicy, Strategy } from "../rollout/policy.ts";
import type { PolicySource } from "./scenario.ts";

type GateSource = NonNullable<PolicySource["gates"]>[number];
type CanarySource = Extract<PolicySource["strategy"], { canary: unknown }>["canary"][number];

const NONE = { count: 0 } as const;

/** A policy as it is written, with every default filled in. */
export const policyOf = (source: PolicySource): RolloutPolicy => ({
  strategy: strategyOf(source.strategy),
  maxUnavailable: source.maxUnavailable,
  minHealthy: source.minHealthy ?? NONE,
  maxSurge: source.maxSurge ?? NONE,
  errors: { allowed: source.errors?.allowed ?? NONE, strict: source.errors?.strict ?? false, perWave: source.errors?.perWave ?? false },
  unreachable: { allowed: source.unreachable?.allowed ?? { percent: 10 }, afterMs: source.unreachable?.after ?? 300_000 },
  timeoutMs: source.timeout ?? 600_000,
  graceMs: source.grace ?? 30_000,
  gates: (source.gates ?? []).map(gateOf),
  onHalt: source.onHalt,
  approvals: source.approvals ?? 0,
});

const gateOf = (gate: GateSource): Gate => ({
  ...{ name: gate.name, onError: gate.onError, onInconclusive: gate.onInconclusive },
  ...("again" in gate && gate.again !== undefined ? { again: againOf(gate.again) } : {}),
  ...("approvals" in gate ? { people: peopleOf(gate.approvals) } : {}),
});

const peopleOf = ({ count = 1, waves, within }: Extract<GateSource, { approvals: unknown }>["approvals"]): People => ({
  approvals: count,
  ...(waves === undefined ? {} : { waves }),
  ...(within === undefined ? {} : { withinMs: within }),
});

const againOf = ({
  every,
  failed = 0,
  error = 0,
  inconclusive = 0,
}: NonNullable<Extract<GateSource, { again?: unknown }>["again"]>): AskAgain => ({
  everyMs: every,
  allowed: { failed, error, inconclusive },
});

function strategyOf(source: PolicySource["strategy"]): Strategy {
  if ("rolling" in source) return { kind: "rolling", batch: source.rolling.batch, soakMs: source.rolling.soak };
  if ("canary" in source) return { kind: "canary", steps: source.canary.map(stepOf) };
  if ("blue-green" in source) return { kind: "blue-green", soakMs: source["blue-green"].soak, keepOldMs: source["blue-green"].keepOld };
  return { kind: "all-at-once", soakMs: source["all-at-once"].soak };
}

const stepOf = ({ to, weight, soak }: CanarySource): CanaryStep => ({
  ...(to === undefined ? {} : { to }),
  ...(weight === undefined ? {} : { weight }),
  soakMs: soak,
});
