import { createHash } from "node:crypto";
import { BakehouseError } from "../../core/errors.ts";
import type { PolicySource, Scenario } from "../../core/simulation/scenario.ts";
import type { PlanOutline, Simulation } from "../../engine/simulate.ts";
import { defineCommand } from "../command.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatDuration, table } from "../text.ts";

/** A simulation as the command shows it. */
interface Shown extends Simulation {
  readonly scenario: string;
  readonly policy: string;
  readonly decisionsPerSecond: number;
  /** What came out otherwise than the scenario expects. */
  readonly unmet: readonly string[];
}

const digestOf = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

export const command = defineCommand({
  name: "simulate",
  summary: "Run rollouts on a virtual clock, before anything is touched",
  description: `A scenario is a fleet, an image with its faults, a policy, and a timeline of what goes wrong. The rules that decide and the reconciler that
carries them out are those of real rollouts; fleet, provider and metrics are made up. The same seed gives the same run. What a scenario expects is checked:
exit code 6 when something came out otherwise.`,
  arguments: { scenario: { required: false, summary: "A scenario's file, or a folder of them", completes: "file" } },
  options: {
    seed: { value: "seed", summary: "Other luck: which machines fail, how long they take" },
    compare: { value: "policies", summary: "Run it under these policies, by name and with commas, or all" },
    plan: { summary: "Show only the plan: waves, limits, what is left of each zone" },
    log: { summary: "Show everything that happened" },
    policies: { summary: "Show the policies that have a name" },
    schema: { summary: "Print the JSON Schema of scenarios, for editors" },
  },
  examples: [
    { line: "simulate docs/scenarios/dies-after-a-while.yaml --log", does: "What happens, and when" },
    { line: "simulate docs/scenarios", does: "All of them, against what they expect" },
    { line: "simulate docs/scenarios/boots-on-no-machine.yaml --compare all", does: "The same under the rules of other systems" },
  ],
  run: async ({ args, options, folder }) => {
    const { NAMED_POLICIES } = await import("../../core/simulation/named-policies.ts");
    if (options.schema) return { schema: (await import("../../core/simulation/scenario-schema.ts")).scenarioJsonSchema() };
    if (options.policies)
      return { policies: Object.entries(NAMED_POLICIES).map(([name, { summary, policy }]) => ({ name, summary, policy })) };
    if (args.scenario === undefined)
      throw new BakehouseError("USAGE", "No scenario is named", { hint: "bakehouse simulate docs/scenarios/a-good-release.yaml" });
    const { readScenarioFiles } = await import("../../adapters/local-host/scenario-files.ts");
    const { parseScenario } = await import("../../core/simulation/parse-scenario.ts");
    const compared = policiesFor(options.compare, NAMED_POLICIES);
    const parsed = readScenarioFiles(args.scenario, folder).map(({ shownAs, text }) => ({ shownAs, ...parseScenario(text, shownAs) }));
    if (options.plan) {
      const { planSimulation } = await import("../../engine/simulate.ts");
      const seeded = { digestOf, ...(options.seed === undefined ? {} : { seed: options.seed }) };
      return {
        plans: parsed.flatMap(({ scenario, policy }) =>
          (compared ?? [{ policy }]).map((each) => planSimulation(scenario, each.policy, seeded)),
        ),
      };
    }
    const simulations: Shown[] = [];
    for (const { shownAs, scenario, policy } of parsed) {
      const own = { name: typeof scenario.policy === "string" ? scenario.policy : "its own", policy };
      for (const each of compared ?? [own]) simulations.push(await run(shownAs, scenario, each, compared === undefined, options.seed));
    }
    return { simulations };
  },
  exitCode: (data) => {
    if ("plans" in data) return data.plans.some(({ refused }) => refused.length > 0) ? 6 : 0;
    return "simulations" in data && data.simulations.some(({ unmet }) => unmet.length > 0) ? 6 : 0;
  },
  render: (data, { terminal, options }) => {
    if ("schema" in data) return `${JSON.stringify(data.schema, null, 2)}\n`;
    if ("policies" in data) return data.policies.map(({ name, summary }) => `${name.padEnd(12)} ${summary}\n`).join("");
    if ("plans" in data) return data.plans.map((each) => planOf(each, terminal)).join("\n");
    const { simulations } = data;
    const logs = options.log ? simulations.map(logOf).join("\n") : "";
    const [only] = simulations;
    return `${logs}${simulations.length === 1 && only !== undefined ? oneOf(only, terminal) : tableOf(simulations, terminal)}`;
  },
});

interface NamedPolicy {
  readonly name: string;
  readonly policy: PolicySource;
}

function policiesFor(
  compare: string | undefined,
  known: Readonly<Record<string, { readonly policy: PolicySource }>>,
): readonly NamedPolicy[] | undefined {
  if (compare === undefined) return undefined;
  const names = compare === "all" ? Object.keys(known) : compare.split(",").map((name) => name.trim());
  const unknown = names.filter((name) => known[name] === undefined);
  if (unknown.length > 0)
    throw new BakehouseError("USAGE", `No policy is called ${unknown.join(", ")}`, { hint: `there are ${Object.keys(known).join(", ")}` });
  return names.flatMap((name) => (known[name] === undefined ? [] : [{ name, policy: known[name].policy }]));
}

async function run(
  shownAs: string,
  scenario: Scenario,
  { name, policy }: NamedPolicy,
  expects: boolean,
  seed: string | undefined,
): Promise<Shown> {
  const { simulate } = await import("../../engine/simulate.ts");
  const { unmetExpectations } = await import("../../core/simulation/check-expectations.ts");
  const startedMs = performance.now();
  const simulation = simulate(scenario, policy, { digestOf, ...(seed === undefined ? {} : { seed }) });
  const seconds = (performance.now() - startedMs) / 1000;
  return {
    ...simulation,
    scenario: shownAs,
    policy: name,
    decisionsPerSecond: Math.round(simulation.decisions / seconds),
    unmet: expects && scenario.expect !== undefined ? unmetExpectations(scenario.expect, simulation) : [],
  };
}

const logOf = ({ log }: Shown): string => log.map(({ atMs, what }) => `${formatDuration(atMs).padStart(10)}  ${what}\n`).join("");

function fitText({ needsMs, begins, whole }: NonNullable<PlanOutline["fits"]>): string {
  const needs = `${formatDuration(needsMs)} at best`;
  if (begins === undefined) return `${needs}; nobody knows when it may begin`;
  if (whole === undefined) return `${needs}, begins at ${begins}; no window is long enough: it goes on in the next one`;
  return `${needs}, from ${whole.from}${whole.until === undefined ? "" : ` until ${whole.until}`}`;
}

/** Of a large wave, the first instances are enough to see what it is. */
const SHOWN_INSTANCES = 6;

function planOf({ title, refused, hash, limits, waves, zones, fits }: PlanOutline, { colors }: Terminal): string {
  const { bold, dim, red } = colors;
  if (limits === undefined) return `${bold(title)}\n${refused.map((why) => red(`refused: ${why}\n`)).join("")}`;
  const { maxUnavailable, minHealthy, maxSurge, errors, unreachable } = limits;
  const waveLines = waves.map(({ soakMs, weight, instances }, index): readonly [string, string] => {
    const more = instances.length - SHOWN_INSTANCES;
    const named = `${instances.slice(0, SHOWN_INSTANCES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
    const share = weight === undefined ? "" : `, ${weight} % of the traffic`;
    const moved = instances.length === 0 ? "no more instances" : count(instances.length, "instance");
    return [`wave ${index + 1}`, `${moved}${share}, healthy for ${formatDuration(soakMs)}${named === "" ? "" : `: ${named}`}`];
  });
  const rows: readonly (readonly [string, string])[] = [
    ["plan", hash],
    [
      "limits",
      `${maxUnavailable} unavailable, ${minHealthy} healthy at least, ${maxSurge} more; ${errors} may fail, ${unreachable} be silent`,
    ],
    ...waveLines,
    ...(fits === undefined ? [] : [["fits", fitText(fits)] as const]),
    ["left", zones.map(({ zone, size, worst }) => `${zone} ${worst} of ${size}`).join(", ")],
  ];
  return `${bold(title)}\n${rows.map(([key, value]) => `${dim(key.padEnd(10))} ${value}\n`).join("")}`;
}

const worstOf = ({ worst }: Shown): string => {
  const zones = Object.entries(worst);
  return zones.length === 0 ? "" : `${Math.min(...zones.map(([, share]) => share))} %`;
};

function oneOf(simulation: Shown, { colors }: Terminal): string {
  const { bold, dim, green, red } = colors;
  const { status, reason, waitingFor, timeToHaltMs, unmet } = simulation;
  const rows: readonly (readonly [string, string])[] = [
    ["status", `${status}${reason === "" ? "" : `: ${reason}`}`],
    ["waits for", waitingFor],
    ...simulation.rollouts
      .slice(1)
      .map((next): readonly [string, string] => [
        "then",
        `${next.rollout} (${next.image}) ${next.status}${next.reason === "" ? "" : `: ${next.reason}`}; ${next.moved} moved`,
      ]),
    ["took", formatDuration(simulation.durationMs)],
    [
      "moved",
      `${simulation.moved}, ${simulation.back} on the image before, ${simulation.failed} failed, ${simulation.unreachable} unreachable`,
    ],
    ["moves", `${simulation.moves}, ${simulation.repeated} came twice and were done once`],
    [
      "halted",
      timeToHaltMs === undefined
        ? ""
        : `${formatDuration(timeToHaltMs)} after the failure that was too many; ${simulation.overRun} moves begun meanwhile`,
    ],
    [
      "available",
      Object.entries(simulation.worst)
        .map(([zone, share]) => `${zone} ${share} %`)
        .join(", "),
    ],
    [
      "decisions",
      `${simulation.decisions}, ${simulation.decisionsPerSecond} a second; ${simulation.replays ? "they replay" : red("THEY DO NOT REPLAY")}`,
    ],
  ];
  const told = rows.flatMap(([key, value]) => (value === "" ? [] : [`${dim(key.padEnd(10))} ${value}\n`])).join("");
  const end = unmet.length === 0 ? green("As expected.\n") : unmet.map((what) => red(`otherwise than expected: ${what}\n`)).join("");
  return `${bold(simulation.title)}\n${told}${end}`;
}

function tableOf(simulations: readonly Shown[], { columns, colors }: Terminal): string {
  const rows = simulations.map((each) => [
    each.unmet.length === 0 ? colors.green("✓") : colors.red("✗"),
    each.scenario,
    each.policy,
    each.status,
    String(each.moved),
    String(each.overRun),
    each.timeToHaltMs === undefined ? "" : formatDuration(each.timeToHaltMs),
    worstOf(each),
    formatDuration(each.durationMs),
  ]);
  const titles = [
    { title: "" },
    { title: "scenario", minimum: 12 },
    { title: "policy", minimum: 6 },
    { title: "ends", minimum: 8 },
    ...["moved", "over-run", "to halt", "worst zone", "took"].map((title) => ({ title, align: "right" as const })),
  ];
  const unmet = simulations.flatMap(({ scenario, unmet: each }) => each.map((what) => colors.red(`${scenario}: ${what}\n`)));
  const good = simulations.filter((each) => each.unmet.length === 0).length;
  return `${table(titles, rows, { width: columns, styleTitle: colors.dim })}${unmet.join("")}${good} of ${count(simulations.length, "simulation")} as expected.\n`;
}
