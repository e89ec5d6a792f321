import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { builtCli } from "../../../test/shared-store.ts";

const run = promisify(execFile);
let folder: string;
let cli: string;
let plans: string;
beforeAll(async () => {
  cli = await builtCli();
  folder = mkdtempSync(join(tmpdir(), "bakehouse-scenario-"));
  plans = join(folder, "plans");
  mkdirSync(plans);
  writeFileSync(
    join(folder, "good.yaml"),
    "version: 1\ntitle: good\nfleet: { hosts: 5 }\nimage: {}\npolicy: bakehouse\nexpect: { moved: 5 }\n",
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function simulate(...words: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, [cli, "simulate", ...words], { cwd: folder });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

test("shows how one went, and all that happened with --log", async () => {
  const { code, out } = await simulate("good.yaml", "--log");
  expect(code).toBe(0);
  expect(out).toContain("completed\ngood\n");
  expect(out).toContain("moved      5, 0 on the image before, 0 failed, 0 unreachable");
  expect(out).toContain("As expected.");
});

test("shows the plan before anything happens: waves, limits, zones and the hash", async () => {
  writeFileSync(
    join(plans, "rings.yaml"),
    "version: 1\ntitle: rings\nfleet: { hosts: 5, first: 1, neverFirst: 1 }\nimage: {}\npolicy: bakehouse\n",
  );
  const { code, out } = await simulate("plans/rings.yaml", "--plan");
  expect(code).toBe(0);
  expect(out).toMatch(/^rings\nplan {7}[\da-f]{12}\nlimits {5}0 unavailable, 0 healthy at least, 1 more; 1 may fail, 0 be silent\n/);
  expect(out).toContain("wave 1     1 instance, healthy for 60 s: host-1\n");
  expect(out).toMatch(/, host-5\nleft {7}zone-1 5 of 5\n$/);
});

test("shows why there is no plan, and ends with 6", async () => {
  writeFileSync(
    join(plans, "stuck.yaml"),
    "version: 1\ntitle: stuck\nfleet: { hosts: 5 }\nimage: {}\npolicy: { strategy: { rolling: { batch: 1, soak: 0s } }, maxUnavailable: 0, onHalt: hold }\n",
  );
  const { code, out } = await simulate("plans/stuck.yaml", "--plan");
  expect(code).toBe(6);
  expect(out).toContain("refused: nothing may move: maxUnavailable 0 of 5 is 0, and maxSurge 0 of 5 is 0; allow one of them");
});

test("ends with 6 when something came out otherwise, and says what", async () => {
  writeFileSync(
    join(folder, "wrong.yaml"),
    "version: 1\ntitle: wrong\nfleet: { hosts: 5 }\nimage: {}\npolicy: bakehouse\nexpect: { moved: 4 }\n",
  );
  const { code, out } = await simulate(".");
  rmSync(join(folder, "wrong.yaml"));
  expect(code).toBe(6);
  expect(out).toContain("wrong.yaml: moved: 5, not 4");
  expect(out).toContain("1 of 2 simulations as expected.");
});

test("compares policies, as data with --json", async () => {
  const { out } = await simulate("good.yaml", "--compare", "ssm,argo", "--json");
  const { simulations } = JSON.parse(out) as { simulations: readonly { readonly policy: string; readonly status: string }[] };
  expect(simulations.map(({ policy, status }) => [policy, status])).toEqual([
    ["ssm", "completed"],
    ["argo", "completed"],
  ]);
});

test.each([
  [["nowhere.yaml"], 2, "There is no scenario at nowhere.yaml"],
  [[], 2, "No scenario is named"],
  [["good.yaml", "--compare", "nobody"], 2, "No policy is called nobody"],
  [["/etc/hostname"], 2, "SCENARIO_INVALID"],
])("%j is refused", async (words, code, message) => {
  const answer = await simulate(...words);
  expect(answer.code).toBe(code);
  expect(answer.err).toContain(message);
});

test("lists policies and prints the schema", async () => {
  expect((await simulate("--policies")).out).toContain("hawkbit");
  expect(JSON.parse((await simulate("--schema")).out)).toMatchObject({ title: "Bakehouse scenario", type: "object" });
});
