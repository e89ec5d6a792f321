import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Kitchen, errorOf, type CliRun } from "./bad-luck/kitchen.ts";

/** The shape of `cycle run --json`. */
interface RunsData {
  readonly runs: readonly {
    readonly run: string;
    readonly recipe: string;
    readonly outcome: string;
    readonly message?: string;
    readonly candidates: readonly { readonly name: string; readonly digest: string }[];
    readonly stages: readonly { readonly stage: string; readonly outcome: string; readonly data: unknown }[];
  }[];
  readonly why?: string;
}
const runsOf = (run: CliRun): RunsData => JSON.parse(run.stdout) as RunsData;

const CYCLE = "cycle: { schedule: every second Monday at 03:00 Europe/Warsaw }\nnotify: { log: { file: events.jsonl } }\n";

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
  kitchen.write("app/page", "one\n");
  kitchen.steps("- copy: { from: app, to: /srv/app }", CYCLE);
});
afterEach(() => kitchen.close());

const told = (): readonly string[] =>
  readFileSync(join(kitchen.recipe, "events.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { readonly type: string }).type);

describe("cycle run", () => {
  it("gives a candidate, then nothing when nothing changed, then another one", async () => {
    const first = runsOf(await kitchen.cli(["cycle", "run", "--json"])).runs;
    expect(first).toMatchObject([{ recipe: "tiny", outcome: "candidate", candidates: [{ name: "tiny/app" }] }]);
    const again = runsOf(await kitchen.cli(["cycle", "run", "--json"])).runs;
    expect(again).toMatchObject([{ outcome: "unchanged", candidates: first[0]?.candidates }]);
    kitchen.write("app/page", "two\n");
    const changed = runsOf(await kitchen.cli(["cycle", "run", "--json"])).runs;
    expect(changed[0]?.outcome).toBe("candidate");
    expect(changed[0]?.candidates).not.toEqual(first[0]?.candidates);
    expect(told()).toEqual(["cycle.started", "cycle.candidate", "cycle.started", "cycle.unchanged", "cycle.started", "cycle.candidate"]);
    const shown = await kitchen.cli(["cycle", "history", "last"]);
    expect(shown.stdout).toMatch(/outcome +candidate/);
    expect(shown.stdout).toMatch(/because of +.*asked for it/);
  });

  it("records where it failed, and says so with the error's own exit code", async () => {
    kitchen.steps('- run: "echo broken >&2; exit 3"', CYCLE);
    const failed = await kitchen.cli(["cycle", "run", "--json"]);
    expect(failed.code).toBe(1);
    expect(runsOf(failed).runs).toMatchObject([
      {
        outcome: "failed",
        stages: [
          { stage: "lock", outcome: "done" },
          { stage: "bake", outcome: "failed", data: { code: "STEP_FAILED" } },
        ],
      },
    ]);
    expect(told()).toEqual(["cycle.started", "cycle.failed"]);
  });

  it("refuses a recipe without a cycle", async () => {
    kitchen.steps("- copy: { from: app, to: /srv/app }");
    const run = await kitchen.cli(["cycle", "run", "--json"]);
    expect([run.code, errorOf(run).code]).toEqual([2, "CYCLE_NOT_FOUND"]);
  });

  it("does nothing with --due when nothing is due", async () => {
    const run = await kitchen.cli(["cycle", "run", "--due", "--json"]);
    expect(runsOf(run)).toEqual({ runs: [], why: "nothing is due" });
    expect((await kitchen.cli(["cycle", "status"])).stdout).toContain("waiting");
    expect((await kitchen.cli(["cycle", "next", "--count", "2"])).stdout.split("\n")).toHaveLength(5);
  });
});
