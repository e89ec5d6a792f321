import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { allOf } from "./lib/answers.ts";
import { duration, milliseconds, unitName } from "./lib/options.ts";
import { serviceFile, startAtBoot } from "./lib/self-test.ts";
import { unitProblem, unitsOf, type UnitState } from "./lib/units.ts";

const full = z.strictObject({
  units: z.array(unitName()).min(1).describe("Units that must be active"),
  enabled: z.boolean().default(true).describe("They must also start at the next boot; false: it does not matter"),
  settle: duration()
    .default("5s")
    .describe("They must still be active, and not have been started anew, this long after they were found active"),
});
const options = z.union([
  unitName().describe("Unit that must be active"),
  z.array(unitName()).min(1).describe("Units that must be active"),
  full,
]);
type Options = z.output<typeof options>;

/** Asks systemd about units, and asks again. */
export const service = defineCheck({
  id: "service",
  version: 1,
  summary: "Units are active and enabled, and still are after a while",
  description: `Asks systemd inside the booted machine. A unit that starts, answers and dies after three seconds would pass any single question: so
every unit is asked again after \`settle\`, and must still be active without having been started anew in between. Shorten \`settle\` for what
is known to fail at once or not at all; the default catches what needs a few seconds to give up.`,
  examples: [`- service: nginx.service`, `- service: { units: [shop.service, nginx.service], settle: 10s }`],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 20, intervalMs: 100, timeoutMs: 30_000 },
  async run({ options: given, cell, sleep, signal }) {
    const wanted = wantedOf(given);
    const before = await unitsOf(cell, wanted.units, signal);
    const first = before.map((unit) => unitProblem(unit, wanted.enabled)).filter((problem) => problem !== undefined);
    if (first.length > 0)
      return allOf(first, "", { answered: before.map((unit) => ({ ...unit })), excerpt: await journalOf(cell, before, wanted.enabled) });
    await sleep(milliseconds(wanted.settle));
    const after = await unitsOf(cell, wanted.units, signal);
    const problems = after.flatMap((unit, index) => {
      const problem = unitProblem(unit, wanted.enabled);
      if (problem !== undefined) return [`${problem}, ${wanted.settle} after it was active`];
      const earlier = before[index];
      const startedAnew = earlier !== undefined && (unit.restarts > earlier.restarts || unit.since !== earlier.since);
      return startedAnew ? [`${unit.unit} was started anew within ${wanted.settle}: it does not stay up`] : [];
    });
    const answer = allOf(problems, `${wanted.units.join(", ")} active, and still after ${wanted.settle}`, {
      answered: after.map((unit) => ({ ...unit })),
      excerpt: problems.length === 0 ? [] : await journalOf(cell, after, wanted.enabled),
    });
    // it was seen to die: asking until it is up by chance would prove nothing
    return problems.length === 0 ? answer : { ...answer, final: true };
  },
  selfTest: {
    sound: {
      options: { units: ["bh-self-service.service"], settle: "1500ms", enabled: false },
      files: [serviceFile("bh-self-service.service", "ExecStart=/bin/sleep 3600"), startAtBoot("bh-self-service.service")],
    },
    faulty: {
      options: { units: ["bh-self-service.service"], settle: "1500ms", enabled: false },
      files: [serviceFile("bh-self-service.service", "ExecStart=/bin/sleep 1"), startAtBoot("bh-self-service.service")],
    },
  },
});

const wantedOf = (given: Options): z.output<typeof full> =>
  typeof given === "string" ? full.parse({ units: [given] }) : Array.isArray(given) ? full.parse({ units: given }) : given;

/** What the first unit that is not right has written. */
async function journalOf(
  cell: Parameters<typeof unitsOf>[0],
  units: readonly UnitState[],
  mustBeEnabled: boolean,
): Promise<readonly string[]> {
  const bad = units.find((unit) => unitProblem(unit, mustBeEnabled) !== undefined) ?? units[0];
  return bad === undefined || !cell.isAlive() ? [] : cell.journal({ unit: bad.unit, lines: 20 });
}
