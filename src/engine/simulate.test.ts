import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BakehouseError } from "../core/errors.ts";
import { ENDS, type Action, type RolloutStatus } from "../core/rollout/model.ts";
import { planRollout } from "../core/rollout/plan.ts";
import { unmetExpectations } from "../core/simulation/check-expectations.ts";
import { MemoryRecords } from "../core/simulation/memory-records.ts";
import { NAMED_POLICIES } from "../core/simulation/named-policies.ts";
import { parseScenario } from "../core/simulation/parse-scenario.ts";
import { policyOf } from "../core/simulation/policy-source.ts";
import { reconcileRollout } from "./reconcile-rollout.ts";
import { planSimulation, simulate, type Simulation } from "./simulate.ts";

const GALLERY = join(dirname(dirname(import.meta.dirname)), "docs/scenarios");
const digestOf = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

function simulated(text: string, options: { readonly seed?: string; readonly policy?: string } = {}): Simulation {
  const { scenario, policy } = parseScenario(text, "scenario.yaml");
  return simulate(scenario, NAMED_POLICIES[options.policy ?? ""]?.policy ?? policy, { digestOf, ...options } as never);
}

describe("the gallery", () => {
  const names = readdirSync(GALLERY).filter((name) => name.endsWith(".yaml"));

  test("has at least 25 scenarios, each with what it expects", () => {
    expect(names.length).toBeGreaterThanOrEqual(25);
  });

  test.each(names)("%s ends as it says, with every action done once and decisions that replay", (name) => {
    const { scenario, policy } = parseScenario(readFileSync(join(GALLERY, name), "utf8"), name);
    const outcome = simulate(scenario, policy, { digestOf });
    expect(scenario.expect).toBeDefined();
    expect(unmetExpectations(scenario.expect ?? {}, outcome)).toEqual([]);
    expect(outcome.replays).toBe(true);
    for (const seed of ["1", "2", "3", "4"])
      expect([seed, ...unmetExpectations(scenario.expect ?? {}, simulate(scenario, policy, { digestOf, seed }))]).toEqual([seed]);
  });

  test("two controllers: the one that lost its lease was stopped each time", () => {
    expect(simulated(readFileSync(join(GALLERY, "two-controllers.yaml"), "utf8")).fenced).toBe(2);
  });
});

const SCENARIO = (rest: string): string => `version: 1\ntitle: a test\n${rest}`;

describe("a simulation", () => {
  test("is the same with the same seed, and another one with another", () => {
    const text = SCENARIO("fleet: { hosts: 50 }\nimage: { bootFails: 20 }\npolicy: hawkbit\n");
    expect(simulated(text, { seed: "a" })).toEqual(simulated(text, { seed: "a" }));
    expect(simulated(text, { seed: "a" }).log).not.toEqual(simulated(text, { seed: "b" }).log);
  });

  test.each(Array.from({ length: 12 }, (_, index) => index * 5 + 1))(
    "of a controller that is killed with action %i ends as if it had not been, with as many moves",
    (afterActions) => {
      const text = SCENARIO("fleet: { hosts: 20, zones: 2 }\nimage: { failsAfter: { share: 30, after: 100s } }\npolicy: bakehouse\n");
      const whole = simulated(text);
      const killed = simulated(`${text}timeline: [{ fault: controller-killed, afterActions: ${afterActions}, for: 20s }]\n`);
      expect(killed).toMatchObject({ status: whole.status, replays: true });
      // the killed one had done the action and not marked it: it came again, and was not done again
      if (whole.moves >= afterActions) expect(killed.repeated).toBeGreaterThan(0);
    },
  );

  const WEIGHED =
    "policy: { strategy: { canary: [{ to: 2, weight: 5, soak: 20s }, { weight: 20, soak: 20s }] }, maxUnavailable: 3, grace: 10s, onHalt: roll-back }";
  test.each(
    [
      ["canaries by weight that goes back", "image: { failsAfter: { share: 100, after: 50s } }", ""],
      ["releases of which one supersedes another", "image: {}", "{ fault: second-rollout, at: 50s, image: {}, policy: supersede }, "],
    ].flatMap(([what, image, second]) => Array.from({ length: 12 }, (_, index) => [what, index * 3 + 1, image, second] as const)),
  )("of %s, killed with action %i, ends as if it had not been", (_what, afterActions, image, second) => {
    const text = (kill: string): string =>
      SCENARIO(`fleet: { hosts: 10 }\n${image ?? ""}\n${WEIGHED}\ntimeline: [${second ?? ""}${kill}]\n`);
    const whole = simulated(text(""));
    const killed = simulated(text(`{ fault: controller-killed, afterActions: ${afterActions}, for: 5s }`));
    const endsOf = ({ rollouts }: Simulation) => rollouts.map(({ status, moved }) => [status, moved]);
    expect(endsOf(killed)).toEqual(endsOf(whole));
    expect(killed.replays).toBe(true);
    expect(whole.rollouts.map(({ status }) => status)).toEqual(second === "" ? ["rolled-back"] : ["abandoned", "completed"]);
  });

  test.each([
    ["ssm", "halted"],
    ["hawkbit", "halted"],
    ["codedeploy", "completed"],
    ["argo", "completed"],
    ["flagger", "completed"],
    ["bakehouse", "rolled-back"],
  ])("under the rule of %s a release that does not boot on a third of the machines is %s", (policy, status) => {
    const text = SCENARIO("fleet: { hosts: 100, models: [a, b, c] }\nimage: { bootFails: 100, onlyModel: b }\npolicy: bakehouse\n");
    expect(simulated(text, { policy }).status).toBe(status);
  });

  test("of metrics that are down: every rule that has a gate goes back or holds; none passes", () => {
    const text = SCENARIO(
      "fleet: { hosts: 20 }\nimage: {}\npolicy: bakehouse\nlimit: 2h\ntimeline: [{ fault: metrics, at: 0s, for: 24h, answer: down }]\n",
    );
    expect(simulated(text, { policy: "argo" }).status).toBe("rolled-back");
    expect(simulated(text, { policy: "flagger" }).status).toBe("rolled-back");
  });
});

describe("several rollouts of one fleet", () => {
  const policy = '{ strategy: { canary: [{ to: "20%", soak: 20s }] }, maxUnavailable: MAX, minHealthy: MIN, onHalt: hold }';
  const releases = fc.array(
    fc.record({ at: fc.integer({ min: 0, max: 600 }), policy: fc.constantFrom("queue", "supersede", "refuse"), same: fc.boolean() }),
    { maxLength: 4 },
  );

  test("and all else that takes machines away keep to one budget, one rollout is under way at a time, and all end", () => {
    fc.assert(
      fc.property(
        fc.record({ hosts: fc.integer({ min: 2, max: 20 }), most: fc.integer({ min: 1, max: 4 }), spare: fc.nat(4) }),
        releases,
        fc.record({ maintained: fc.nat(10), abort: fc.option(fc.integer({ min: 1, max: 300 })), fails: fc.constantFrom(0, 0, 50) }),
        ({ hosts, most, spare }, seconds, { maintained, abort, fails }) => {
          const least = Math.max(0, hosts - 1 - spare);
          const timeline = [
            `{ fault: maintenance, at: 10s, hosts: ${maintained}, each: 40s }`,
            ...(abort === null ? [] : [`{ fault: command, command: abort, at: ${abort}s, who: ada }`]),
            ...seconds.map(
              ({ at, policy: then, same }) => `{ fault: second-rollout, at: ${at}s, policy: ${then}${same ? "" : ", image: {}"} }`,
            ),
          ];
          const text = SCENARIO(
            `fleet: { hosts: ${hosts} }\nimage: { bootFails: ${fails} }\npolicy: ${policy.replace("MAX", String(most)).replace("MIN", String(least))}\ntimeline: [${timeline.join(", ")}]\n`,
          );
          const { rollouts, worst, log, replays } = simulated(text);
          expect(replays).toBe(true);
          // what fails is not taken down by us
          if (fails === 0) expect(((worst["zone-1"] ?? 0) / 100) * hosts).toBeGreaterThanOrEqual(Math.max(hosts - most, least) - 0.1);
          const line = log
            .filter(({ what }) => / begins: |abandoned|completed|rolled-back/.test(what))
            .map(({ what }) => what.includes(" begins"));
          for (const [index, begins] of line.entries()) if (begins) expect(line[index - 1]).toBe(false);
          // a halted one waits for a person, and so do those behind it; what failed and is not replaced leaves no room
          const ends = ["completed", "abandoned", "refused", ...(fails > 0 ? ["halted", "waiting", "running"] : [])];
          for (const { status } of rollouts) expect(ends).toContain(status);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe("any scenario", () => {
  const at = fc.integer({ min: 0, max: 900 }).map((seconds) => `at: ${seconds}s`);
  const forSome = fc.integer({ min: 1, max: 600 }).map((seconds) => `for: ${seconds}s`);
  const during = fc.tuple(at, forSome).map((parts) => parts.join(", "));
  const commands = ["approve", "pause", "resume", "abort", "roll-back", "skip-gate", "retry-failed"];
  const fault = fc.oneof(
    fc.tuple(fc.integer({ min: 1, max: 12 }), forSome).map(([n, span]) => `controller-killed, afterActions: ${n}, ${span}`),
    at.map((when) => `old-controller, ${when}`),
    ...["store-away", "provider-timeouts"].map((kind) => during.map((when) => `${kind}, ${when}`)),
    fc.tuple(during, fc.constantFrom("down", "empty", "nan")).map(([when, answer]) => `metrics, ${when}, answer: ${answer}`),
    during.map((when) => `zone-lost, ${when}, zone: zone-1`),
    fc.tuple(during, fc.nat(100)).map(([when, share]) => `silent, ${when}, hosts: "${share}%"`),
    during.map((when) => `reports, ${when}, twice: 30, late: 20s, reordered: 30`),
    fc.tuple(at, fc.integer({ min: -90_000, max: 90_000 })).map(([when, by]) => `clock-jump, ${when}, by: ${by}`),
    during.map((when) => `freeze, ${when}, reason: so`),
    during.map((when) => `line-stopped, ${when}, owner: ada, reason: so, exempt: [new-2]`),
    fc.tuple(at, fc.constantFrom("target", "back")).map(([when, image]) => `revoked, ${when}, reason: so, image: ${image}`),
    fc.tuple(at, fc.integer({ min: -4, max: 4 })).map(([when, by]) => `scale, ${when}, by: ${by}`),
    during.map((when) => `others, ${when}, unavailable: 1`),
    at.map((when) => `maintenance, ${when}, hosts: 3, each: 30s`),
    fc
      .tuple(at, fc.constantFrom("queue", "supersede", "refuse"), fc.constantFrom("", ", image: {}", ", image: { bootFails: 40 }"))
      .map(([when, then, image]) => `second-rollout, ${when}, policy: ${then}${image}`),
    fc.tuple(at, fc.constantFrom(...commands)).map(([when, command]) => `command, ${when}, who: ada, reason: so, command: ${command}`),
  );
  const strategy = fc.constantFrom(
    '{ canary: [{ to: 1, weight: 5, soak: 20s }, { weight: 30, soak: 20s }, { to: "50%", soak: 20s }] }',
    '{ rolling: { batch: "30%", soak: 20s } }',
    "{ blue-green: { soak: 20s, keepOld: 1m } }",
    "{ all-at-once: { soak: 20s } }",
  );
  const image = fc.constantFrom("{}", "{ bootFails: 30 }", "{ memoryLeak: { least: 30s, most: 5m } }", "{ errorRate: 3 }");
  const rest = fc.constantFrom(
    "maxSurge: 1",
    "approvals: 1",
    "errors: { allowed: 2, strict: true }",
    "gates: [{ name: g, errorRateBelow: 1, onError: hold, onInconclusive: halt }]",
  );

  test("ends or waits for something named, does every action once, and replays; with the same seed it is the same again", () => {
    fc.assert(
      fc.property(
        fc.array(fault, { maxLength: 6 }),
        fc.record({
          strategy,
          image,
          rest,
          hosts: fc.integer({ min: 1, max: 12 }),
          onHalt: fc.constantFrom("hold", "roll-back"),
          heal: fc.boolean(),
        }),
        (faults, { strategy: how, image: faulty, rest: more, hosts, onHalt, heal }) => {
          const text = SCENARIO(
            `fleet: { hosts: ${hosts}, zones: 2${heal ? ", heal: { after: 20s }" : ""} }\nimage: ${faulty}\nlimit: 3h\n` +
              `policy: { strategy: ${how}, maxUnavailable: 2, timeout: 2m, unreachable: { allowed: 1, after: 2m }, onHalt: ${onHalt}, ${more} }\n` +
              `timeline: [${faults.map((each) => `{ fault: ${each} }`).join(", ")}]\n`,
          );
          const simulation = simulated(text);
          expect(simulation.replays).toBe(true);
          expect(simulation.waitingFor).not.toContain("takes over"); // what is superseded ends
          for (const { status } of simulation.rollouts)
            if (!ENDS.has(status as RolloutStatus) && status !== "refused") expect(simulation.waitingFor).not.toBe("");
          expect(simulated(text)).toEqual(simulation);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("a plan", () => {
  test.each([...Object.keys(NAMED_POLICIES), "its own"])("under %s promises what is left of each zone, and that is kept", (name) => {
    const own =
      '{ strategy: { canary: [{ to: 1, soak: 1s }, { to: "30%", soak: 1s }] }, maxUnavailable: 9, minHealthy: "85%", maxSurge: 2, onHalt: hold }';
    const text = SCENARIO(`fleet: { hosts: 50, zones: 3, unhealthy: 2 }\nimage: {}\npolicy: ${name === "its own" ? own : name}\n`);
    const { scenario, policy } = parseScenario(text, "scenario.yaml");
    const { zones, waves } = planSimulation(scenario, policy, { digestOf });
    const { worst, moved } = simulate(scenario, policy, { digestOf });
    expect(waves.flatMap(({ instances }) => instances)).toHaveLength(50);
    expect(moved).toBe(50);
    for (const { zone, size, worst: left } of zones) expect(worst[zone]).toBeGreaterThanOrEqual(Math.floor((left / size) * 100));
  });
});

describe("numbers of other systems", () => {
  const METRICS_DOWN =
    "fleet: { hosts: 20 }\nimage: {}\npolicy: bakehouse\nlimit: 2h\ntimeline: [{ fault: metrics, at: 0s, for: 24h, answer: down }]\n";

  test("Flagger, threshold 5, an interval of 60 s, provider down: goes back after five checks, about 5 minutes", () => {
    const { log, status } = simulated(SCENARIO(METRICS_DOWN), { policy: "flagger" });
    const checks = log.filter(({ what }) => what.startsWith("gate success-rate"));
    expect(status).toBe("rolled-back");
    expect(checks).toHaveLength(5);
    expect(Math.round(((checks[4]?.atMs ?? 0) - (checks[0]?.atMs ?? 0)) / 60_000)).toBe(4);
  });

  test("Argo Rollouts, consecutiveErrorLimit 4: the fifth error in a row aborts", () => {
    const { log, status } = simulated(SCENARIO(METRICS_DOWN), { policy: "argo" });
    expect(status).toBe("rolled-back");
    expect(log.filter(({ what }) => what.startsWith("gate analysis"))).toHaveLength(5);
  });

  test("SSM, max-errors 0: one failure stops what has not begun", () => {
    const text = SCENARIO("fleet: { hosts: 200 }\nimage: { bootFails: 100 }\npolicy: ssm\n");
    expect(simulated(text)).toMatchObject({ status: "halted", moves: 50, overRun: 0 });
  });

  test("hawkBit: silent devices are waited for without end, and nothing halts", () => {
    const text = SCENARIO(
      "fleet: { hosts: 40 }\nimage: {}\npolicy: hawkbit\nlimit: 4h\ntimeline: [{ fault: silent, at: 0s, for: 24h, hosts: 40 }]\n",
    );
    expect(simulated(text).timeToHaltMs).toBeUndefined();
    expect(["running", "completed"]).toContain(simulated(text).status);
  });

  test("CodeDeploy, 95 % of 10 must be healthy: nothing may move, and the plan says so", () => {
    const text = SCENARIO(
      'fleet: { hosts: 10 }\nimage: {}\npolicy: { strategy: { rolling: { batch: 1, soak: 0s } }, maxUnavailable: 1, minHealthy: "95%", onHalt: hold }\n',
    );
    expect(simulated(text)).toMatchObject({ status: "refused", reason: expect.stringContaining("95 % of 10 is 10") as string });
  });
});

describe("what is wrong with a scenario", () => {
  test("is told all at once, with line and column and what was meant", () => {
    let message = "";
    try {
      parseScenario("version: 1\ntitle: x\nfleet: { hosts: -1, zoens: 2 }\nimage: { boot: soon }\npolicy: bakehuose\n", "s.yaml");
    } catch (error) {
      if (!(error instanceof BakehouseError)) throw error;
      message = error.message;
    }
    expect(message).toContain("s.yaml:3:17");
    expect(message).toContain('did you mean "zones"?');
    expect(message).toContain("s.yaml:4:16");
  });

  test("a policy that nobody knows is told with the ones that there are", () => {
    expect(() => parseScenario(SCENARIO("fleet: { hosts: 1 }\nimage: {}\npolicy: bakehuose\n"), "s.yaml")).toThrow(
      'did you mean "bakehouse"?',
    );
  });
});

describe("the reconciler", () => {
  const origin = () => {
    const source = NAMED_POLICIES["bakehouse"]?.policy;
    if (source === undefined) throw new Error("there is no such policy");
    const instances = ["a", "b", "c"].map((id) => ({ id, zone: "z", running: "old", healthy: true }));
    const planned = planRollout({ rollout: "r", fleet: "f", target: "new", back: "old", policy: policyOf(source), instances });
    if ("problems" in planned) throw new Error(planned.problems.join());
    return new MemoryRecords({ plan: planned.plan, planHash: "h", startedBy: "s", nowMs: 0 });
  };

  test("does nothing that it could not write down", () => {
    const records = origin();
    const done: Action[] = [];
    const reconciler = reconcileRollout(records, { perform: (action) => void done.push(action) });
    records.isAway = true;
    expect(() => reconciler.tick([], 1)).toThrow("the store does not answer");
    expect(done).toEqual([]);
    records.isAway = false;
    reconciler.tick([], 2);
    expect(done).toHaveLength(1);
  });

  test("writes and does nothing any more when another one has taken over", () => {
    const records = origin();
    const done: string[] = [];
    const old = reconcileRollout(records, { perform: () => void done.push("old") });
    const next = reconcileRollout(records, { perform: () => void done.push("new") });
    expect(() => old.tick([], 1)).toThrow(expect.objectContaining({ code: "LEASE_LOST" }));
    expect(records.moments()).toEqual([]);
    next.tick([], 2);
    expect(done).toEqual(["new"]);
  });

  test("tries again what could not be begun, in its order, and says what it waits for", () => {
    const records = origin();
    let isAway = true;
    const done: string[] = [];
    const reconciler = reconcileRollout(records, {
      perform: ({ key }) => {
        if (isAway) throw new Error("the provider does not answer");
        done.push(key);
      },
    });
    expect(reconciler.tick([], 1).waitingFor).toBe("what was decided to be begun: the provider does not answer");
    isAway = false;
    reconciler.tick([], 2);
    expect(done).toHaveLength(1);
    expect(records.done).toBe(1);
  });
});
