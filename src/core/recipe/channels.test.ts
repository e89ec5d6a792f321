import { describe, expect, it } from "vitest";
import { steps } from "../../steps/registry.ts";
import { parseRecipe } from "./parse-recipe.ts";

const parse = (channels: string) =>
  parseRecipe({
    text: `name: shop\nlayers:\n  base:\n    steps:\n      - debian: { suite: bookworm }\nchannels:\n${channels}\n`,
    file: "/r/bakehouse.yaml",
    folder: "/r",
    shownAs: "bakehouse.yaml",
    steps,
  });

describe("channels of a recipe", () => {
  it("stand in the order that they are written in, with what is left out filled in", () => {
    const { recipe, problems } = parse(`  dev:
  qa:
    checks: all
    minTime: 1h30m
    approvals: 2
  prod:
    description: What customers see
    checks: { vm: [vm-boot], cell: all }
    minTime: 2w
    evidenceMaxAge: 14d
    approvals: { by: [anna, ben@desk] }
    sbom: { forbidPackages: [telnetd], forbidLicences: ["AGPL-*"], securityUpdates: 7d }
    freeze:
      - { cron: "0 17 * * 5", duration: 63h, zone: Europe/Warsaw, reason: weekend }
      - { cron: "0 0 24 12 *", duration: 8d }`);
    expect(problems).toMatchObject([{ severity: "warning", message: 'channels.prod.checks: no layer has a check "vm-boot"' }]);
    const none = { checks: [], minTimeMs: 0, approvals: { count: 0, by: [] }, sbom: { packages: [], licences: [] }, freeze: [] };
    expect(recipe?.channels).toEqual([
      { ...none, name: "dev" },
      { ...none, name: "qa", checks: [{ platform: "any", names: "all" }], minTimeMs: 5_400_000, approvals: { count: 2, by: [] } },
      {
        name: "prod",
        description: "What customers see",
        checks: [
          { platform: "cell", names: "all" },
          { platform: "vm", names: ["vm-boot"] },
        ],
        minTimeMs: 14 * 86_400_000,
        evidenceMaxAgeMs: 14 * 86_400_000,
        approvals: { count: 1, by: ["anna", "ben@desk"] },
        sbom: { packages: ["telnetd"], licences: ["AGPL-*"], securityOlderThanMs: 7 * 86_400_000 },
        freeze: [
          { cron: "0 17 * * 5", durationMs: 63 * 3_600_000, zone: "Europe/Warsaw", reason: "weekend" },
          { cron: "0 0 24 12 *", durationMs: 8 * 86_400_000, zone: "UTC" },
        ],
      },
    ]);
  });

  it.each([
    ["  dev: { chekcs: all }", '7:10: channels.dev: unknown key "chekcs" (did you mean "checks"?)'],
    ["  Dev:", "use lower-case letters"],
    ["  dev: [a]", "channels.dev: expected a mapping, found a list"],
    ["  dev: { minTime: 3d }", "there is no channel before this one"],
    ["  dev:\n  qa: { minTime: 3 days }", "must be a time such as 90m, 36h, 14d or 2w"],
    ["  dev:\n  qa: { minTime: 0m }", "must be more than nothing"],
    ["  dev: { checks: some }", "channels.dev.checks"],
    ["  dev: { checks: { pod: all } }", 'unknown key "pod"'],
    ["  dev: { checks: [] }", "channels.dev.checks"],
    ["  dev: { approvals: 0 }", "channels.dev.approvals"],
    ["  dev: { approvals: { by: ['a b'] } }", "must be a person such as anna or anna@host"],
    ["  dev: { freeze: [{ cron: 0 17 * *, duration: 1h }] }", "is not a cron expression"],
    ["  dev: { freeze: [{ cron: '0 0 30 2 *', duration: 1h }] }", "is not a cron expression: never happens"],
    ["  dev: { freeze: [{ cron: '@daily', duration: 1h, zone: Europe/Warschau }] }", "must be an IANA time zone"],
    ["  dev: { freeze: [{ cron: '@daily' }] }", "duration"],
    ["  dev: { sbom: { securityUpdates: 2 } }", "must be a time such as"],
  ])("tells what is wrong with %j", (channels, message) => {
    const { problems } = parse(channels);
    const told = problems.map(
      (problem) => `${problem.line}:${problem.column}: ${problem.message}${problem.hint === undefined ? "" : ` (${problem.hint})`}`,
    );
    expect(told.join("\n")).toContain(message);
    expect(told).toHaveLength(1);
  });
});
