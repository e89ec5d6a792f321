import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "yaml";
import { describe, expect, it } from "vitest";
import { steps } from "../../steps/registry.ts";
import { formatProblem } from "../errors.ts";
import { recipeJsonSchema } from "./json-schema.ts";
import { parseRecipe } from "./parse-recipe.ts";

const HEAD = `name: shop
layers:
  os: { steps: [debian: { suite: bookworm }] }
  app: { from: os, steps: [file: { path: /etc/motd, content: "x" }] }
secrets:
  hook: { env: HOOK_KEY }
channels: { prod: {} }
`;
const read = (sections: string) => {
  const parsed = parseRecipe({ text: `${HEAD}${sections}`, file: "/r/bakehouse.yaml", folder: "/r", shownAs: "bakehouse.yaml", steps });
  return { recipe: parsed.recipe, problems: parsed.problems.map(formatProblem) };
};
const accepts = new Ajv2020({ strict: false }).compile(recipeJsonSchema(steps));

const GOOD = `cycle:
  schedule: { cron: "0 3 * * MON", every: 2 weeks, from: 2026-01-05, zone: Europe/Warsaw }
  triggers: [packages, security]
  look: 2h
  windows:
    - { opens: every Saturday at 22:00 Europe/Warsaw, lasts: 4h, cutoff: 1h }
retention:
  keep: 3
  younger-than: 30d
  grace: 7d
  channels: { prod: 5 }
  layers: { os: { keep: 1 } }
notify:
  ops: { webhook: "https://hooks.example.org/bakehouse", secret: hook, events: [cycle.*, channel.moved], timeout: 5s }
  log: { file: events.jsonl }
  mail: { command: [sendmail, ops], retries: 0 }
`;

describe("cycle, retention and notify in a recipe", () => {
  it("are read, and accepted by the schema for editors", () => {
    const { recipe, problems } = read(GOOD);
    expect(problems).toEqual([]);
    expect(accepts(parse(`${HEAD}${GOOD}`))).toBe(true);
    expect(recipe?.cycle).toEqual({
      schedule: { kind: "cron", cron: "0 3 * * MON", every: { count: 2, unit: "weeks" }, from: "2026-01-05", zone: "Europe/Warsaw" },
      triggers: ["packages", "security"],
      lookMs: 7_200_000,
      windows: [
        {
          opens: { kind: "cron", cron: "0 22 * * SAT", every: { count: 1, unit: "days" }, from: "2024-01-01", zone: "Europe/Warsaw" },
          lastsMs: 14_400_000,
          cutoffMs: 3_600_000,
        },
      ],
    });
    expect(recipe?.retention).toEqual({
      keep: 3,
      youngerThanMs: 2_592_000_000,
      graceMs: 604_800_000,
      channels: { prod: 5 },
      layers: { os: { keep: 1 } },
    });
    expect(recipe?.notify?.map(({ name, to, timeoutMs, retries }) => ({ name, kind: to.kind, timeoutMs, retries }))).toEqual([
      { name: "ops", kind: "webhook", timeoutMs: 5000, retries: 3 },
      { name: "log", kind: "file", timeoutMs: 10_000, retries: 3 },
      { name: "mail", kind: "command", timeoutMs: 10_000, retries: 0 },
    ]);
  });

  it("tell every mistake at once, with its place and what was probably meant", () => {
    const { problems } = read(`cycle:
  schedule: every second Monday at 25:00
  triggers: [securty]
  windws: []
  windows:
    - { opens: { cron: "0 99 * * *" }, lasts: 1h, cutoff: 2h }
    - { opens: every 6 hours, lasts: soon }
retention:
  keep: 0
  layers: { apps: { keep: 1 } }
  channels: { prd: 2 }
notify:
  ops: { webhook: "ftp://x", secret: hok }
  both: { file: a, command: [b] }
  wrong: { file: a, events: [cycle.faild] }
`);
    expect(problems.map((line) => line.replace(/^bakehouse.yaml:/, "").replace(/ \((?!did).*/, ""))).toEqual([
      "9:13: cycle.schedule: has the time 25:00, which no clock shows",
      '10:14: cycle.triggers[0]: expected "security", "parent", "sources" or "packages", found "securty" (did you mean "security"?)',
      '11:3: cycle: unknown key "windws" (did you mean "windows"?)',
      "13:24: cycle.windows[0].opens.cron: the hour 99 is not between 0 and 23",
      "14:16: cycle.windows[1].opens: says no time of the day",
      "14:38: cycle.windows[1].lasts: must be a span such as 90m, 6h, 14d or 2w",
      "16:9: retention.keep: must be at least 1, found 0",
      '17:13: retention.layers.apps: there is no layer "apps" (did you mean "app"?)',
      '18:15: retention.channels.prd: there is no channel "prd" (did you mean "prod"?)',
      "20:19: notify.ops.webhook: must start with http:// or https://",
      '20:38: notify.ops.secret: there is no secret "hok" (did you mean "hook"?)',
      "21:3: notify.both: has command and file",
      '22:30: notify.wrong.events[0]: there is no event "cycle.faild" (did you mean "cycle.failed"?)',
    ]);
  });

  it.each([
    ["cycle: {}", 'cycle: has neither "schedule" nor "triggers"'],
    ["cycle: weekly", 'cycle: expected a mapping, found "weekly"'],
    ["cycle: { schedule: { cron: '0 3 * * *', every: 2 } }", "cycle.schedule.every: expected text, found the number 2"],
    ["cycle: { schedule: { cron: '0 3 * * *', every: 2 moons } }", 'cycle.schedule: has every: "2 moons"'],
    ["cycle: { schedule: { rate: 1s } }", 'cycle.schedule: has the rate "1s"'],
    ["cycle: { schedule: [a] }", "cycle.schedule: expected a text or a mapping, found a list"],
    ["cycle: { triggers: [parent], look: 10s }", "cycle.look: is shorter than a minute"],
    ["cycle: { triggers: [parent], windows: { lasts: 1h } }", "cycle.windows: expected a list, found a mapping"],
    [
      "cycle: { triggers: [parent], windows: [{ opens: every day at 03:00, lasts: 1h, cutoff: 1h }] }",
      "cycle.windows[0].cutoff: leaves nothing",
    ],
    ["notify: { ops: { events: [gc.*] } }", "notify.ops: says not where to"],
    ["retention: { grace: 0d }", "retention.grace: must be more than nothing"],
  ])("%s", (sections, message) => {
    expect(read(sections).problems.join("\n")).toContain(message);
  });
});
