import { z } from "zod";
import { COMMANDS } from "../rollout/commands.ts";
import { ENDS, type CommandName, type RolloutStatus } from "../rollout/model.ts";
import { calendarSchema } from "./calendar-source.ts";
import { amount, exempt, name, share, span } from "./scenario-parts.ts";

/** Raised when a scenario is read in another way than before. */
export const SCENARIO_VERSION = 1;

const strategy = z.union([
  z.strictObject({
    rolling: z.strictObject({
      batch: amount().describe("Size of a batch: 5, 10%"),
      soak: span().describe("How long a batch must be healthy"),
    }),
  }),
  z.strictObject({
    canary: z
      .array(
        z.strictObject({
          to: amount().optional().describe("Everything that is moved by then: 1, 5%. Absent: nothing more, only the weight changes"),
          weight: share().optional().describe("Of a hundred requests, how many the new image gets. Each instance as many if absent"),
          soak: span(),
        }),
      )
      .min(1)
      .describe("Waves, after which comes the rest"),
  }),
  z.strictObject({ "blue-green": z.strictObject({ soak: span(), keepOld: span().describe("How long the old set is kept") }) }),
  z.strictObject({ "all-at-once": z.strictObject({ soak: span() }) }),
]);

const unanswered = () => z.enum(["hold", "halt"]);

const gateFields = {
  name: name(),
  onError: unanswered().describe("When the metrics give no answer. Going on is not possible"),
  onInconclusive: unanswered().describe("When what they say decides nothing: no samples, no numbers; or nobody approved in time"),
};

const approvalGate = z.strictObject({
  ...gateFields,
  approvals: z
    .strictObject({
      count: z.int().min(1).optional().describe("So many must approve. 1 if absent"),
      waves: z.array(z.int().min(1)).min(1).optional().describe("After these waves. After all but the last if absent"),
      within: span().optional().describe("Later is inconclusive. It waits for ever if absent"),
    })
    .describe("Passes when people have approved the wave"),
});

const metricsGate = z.strictObject({
  ...gateFields,
  errorRateBelow: share().describe("Passes while fewer requests of a hundred to moved instances fail"),
  again: z
    .strictObject({
      every: span(),
      ...{ failed: z.int().min(0).optional(), error: z.int().min(0).optional(), inconclusive: z.int().min(0).optional() },
    })
    .optional()
    .describe("Ask again: so many bad answers of each kind are passed over (errors in a row), one more counts. The first counts if absent"),
});

export const policySchema = z.strictObject({
  strategy: strategy.describe("rolling, canary, blue-green or all-at-once"),
  maxUnavailable: amount().describe("May be out of service at any instant, for whatever reason; rounds down"),
  minHealthy: amount().optional().describe("Must be healthy at any instant; rounds up. 0 if absent"),
  maxSurge: amount().optional().describe("Machines beyond the fleet's size while instances are replaced; rounds up. 0 if absent"),
  errors: z
    .strictObject({
      allowed: amount().describe("So many may fail; one more halts"),
      strict: z.boolean().optional().describe("Count what is under way as if it failed. false if absent"),
      perWave: z.boolean().optional().describe("Of the instances of a wave, counted anew in each. false if absent"),
    })
    .optional()
    .describe("Absent: the first failure halts"),
  unreachable: z
    .strictObject({ allowed: amount(), after: span().describe("Silent for so long is unreachable") })
    .optional()
    .describe("Absent: 10 % may be silent, for 5 minutes"),
  timeout: span().optional().describe("How long moving one instance may take. 10m if absent"),
  grace: span().optional().describe("How long a moved instance may be unhealthy. 30s if absent"),
  gates: z.array(z.union([metricsGate, approvalGate])).optional(),
  onHalt: z.enum(["hold", "roll-back"]),
  approvals: z.int().min(0).optional().describe("How many must approve. 0 if absent"),
});

const image = z.strictObject({
  boot: span().optional().describe("From the move until it is healthy. 20s if absent"),
  bootFails: share().optional().describe("So many of a hundred never come up"),
  failsAfter: z.strictObject({ share: share(), after: span() }).optional().describe("So many become unhealthy after that time, for good"),
  memoryLeak: z
    .strictObject({ least: span(), most: span() })
    .optional()
    .describe("Every instance becomes unhealthy, each after a time of its own between these, and again after it was replaced"),
  slowStart: z
    .strictObject({ share: share(), boot: span() })
    .optional()
    .describe("So many take that long from the move until they are healthy"),
  errorRate: share().optional().describe("Of a hundred requests, how many fail"),
  onlyModel: name().optional().describe("Only machines of this model have these faults"),
});

const at = { at: span().describe("When it happens") };
const during = { ...at, for: span().describe("How long it lasts") };

const fault = z.discriminatedUnion("fault", [
  z.strictObject({
    fault: z.literal("controller-killed"),
    afterActions: z.int().min(1).describe("With the n-th action done"),
    for: span(),
  }),
  z.strictObject({ fault: z.literal("old-controller"), ...at }),
  z.strictObject({ fault: z.literal("store-away"), ...during }),
  z.strictObject({ fault: z.literal("provider-timeouts"), ...during }),
  z.strictObject({
    fault: z.literal("metrics"),
    ...during,
    answer: z.enum(["down", "empty", "nan", "constant", "wrong-name"]).describe("What they say in place of the truth"),
  }),
  z.strictObject({ fault: z.literal("zone-lost"), ...during, zone: name() }),
  z.strictObject({ fault: z.literal("silent"), ...during, hosts: amount() }),
  z.strictObject({
    fault: z.literal("reports"),
    ...during,
    twice: share().optional(),
    late: span().optional(),
    reordered: share().optional().describe("Of a hundred, so many come after the next one of the same host"),
  }),
  z.strictObject({ fault: z.literal("clock-jump"), ...at, by: z.number().describe("Seconds by which the wall clock is set") }),
  z.strictObject({
    fault: z.literal("clock-skew"),
    ...during,
    gains: z.number().min(-1800).max(1800).describe("Seconds that the wall clock gains in an hour, or loses"),
  }),
  z.strictObject({ fault: z.literal("freeze"), ...during, reason: name() }),
  z.strictObject({
    fault: z.literal("line-stopped"),
    ...at,
    for: span().optional().describe("Absent: nobody lets it go on"),
    owner: name(),
    reason: name(),
    exempt: exempt(),
  }),
  z.strictObject({
    fault: z.literal("revoked"),
    ...at,
    reason: name(),
    image: z.enum(["target", "back"]).optional().describe("What is rolled out, or what to go back to. target if absent"),
  }),
  z.strictObject({ fault: z.literal("scale"), ...at, by: z.int().describe("Instances more, or less") }),
  z.strictObject({
    fault: z.literal("others"),
    ...during,
    unavailable: z.int().min(1).describe("Taken by somebody who does not say which"),
  }),
  z.strictObject({
    fault: z.literal("maintenance"),
    ...at,
    hosts: amount().describe("Taken out of service one after another, within the same budget"),
    each: span().describe("How long each is away"),
  }),
  z.strictObject({
    fault: z.literal("second-rollout"),
    ...at,
    image: image.optional().describe("Another image and its faults; absent: the same image once more"),
    policy: z.enum(["queue", "supersede", "refuse"]).describe("What becomes of it while another rollout is under way"),
  }),
  z.strictObject({
    fault: z.literal("command"),
    ...at,
    command: z.enum(Object.keys(COMMANDS.running) as [CommandName, ...CommandName[]]),
    who: name(),
    reason: name().optional(),
    id: name().optional(),
    plan: z.string().optional().describe("Hash that is approved; the right one if absent"),
    wave: z.int().min(1).optional().describe("Wave that is approved; whichever waits if absent"),
  }),
]);

const STATUSES = Object.keys(COMMANDS) as [RolloutStatus, ...RolloutStatus[]];

const expectations = z.strictObject({
  refused: z.string().optional().describe("The plan is refused, with these words among the reasons"),
  status: z
    .enum(STATUSES)
    .optional()
    .describe(`Where it stands at the end: ${[...ENDS].join(", ")}, or where it waits`),
  reason: z.string().optional().describe("Words in the reason for that"),
  moved: z.int().optional().describe("Instances on the new image at the end"),
  failed: z.strictObject({ most: z.int() }).optional(),
  overRun: z.strictObject({ most: z.int() }).optional().describe("Moves begun after the failure that broke the limit"),
  haltWithin: span().optional().describe("From that failure to the halt"),
  worstZone: z.strictObject({ least: share() }).optional().describe("Available in the worst zone at the worst moment, of a hundred"),
  traffic: z.strictObject({ most: share() }).optional().describe("Of a hundred requests, how many the new image ever got"),
  refusedCommands: z.int().optional(),
  within: span().optional().describe("From the start to the end"),
  atLeast: span().optional().describe("The same, not less"),
  next: z
    .array(
      z.strictObject({
        status: z.enum([...STATUSES, "refused", "waiting"]).optional(),
        reason: z.string().optional(),
        moved: z.int().optional().describe("Instances on its image at the end"),
      }),
    )
    .optional()
    .describe("The rollouts after the first, in the order in which they were asked for"),
});

export const scenarioSchema = z.strictObject({
  version: z.literal(SCENARIO_VERSION),
  title: name(),
  seed: z.string().optional().describe("The title if absent"),
  fleet: z.strictObject({
    hosts: z.int().min(0).max(1_000_000),
    zones: z.int().min(1).optional().describe("1 if absent"),
    models: z.array(name()).min(1).optional().describe("Hosts get them in turn"),
    first: z.int().min(0).optional().describe("So many hosts are always moved first. 0 if absent"),
    neverFirst: z.int().min(0).optional().describe("So many hosts are always moved last. 0 if absent"),
    unhealthy: amount().optional().describe("Out of order before anything begins"),
    flaky: z.strictObject({ share: share(), every: span(), for: span() }).optional().describe("Unhealthy now and then, whatever they run"),
    heal: z
      .strictObject({ after: span().describe("Unhealthy for so long") })
      .optional()
      .describe("Hosts that are broken are replaced with what they ran; those that a rollout failed on are left to it"),
    reportEvery: span().optional().describe("Besides a report of each change. 1m if absent"),
  }),
  image: image.describe("What is rolled out"),
  back: z.enum(["good", "none"]).optional().describe("Whether there is an image to go back to. good if absent"),
  starts: z.iso.datetime().optional().describe("What the clock on the wall shows at the start, in UTC. 2026-01-05T00:00:00Z if absent"),
  calendar: calendarSchema.optional().describe("Freezes and maintenance windows, by that clock"),
  policy: z.union([z.string(), policySchema]).describe("Or the name of one: bakehouse simulate --policies"),
  limit: span().optional().describe("Where the simulation ends. 24h if absent"),
  timeline: z.array(fault).optional(),
  expect: expectations.optional(),
});

export type Scenario = z.output<typeof scenarioSchema>;
export type PolicySource = z.output<typeof policySchema>;
export type Fault = NonNullable<Scenario["timeline"]>[number];
export type Expectations = z.output<typeof expectations>;
