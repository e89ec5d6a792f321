import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PlannedStep } from "../../src/engine/plan-bake.ts";
import { createBakehouse } from "../../src/presets/create-bakehouse.ts";
import { type Bake, errorOf, Kitchen } from "./kitchen.ts";

const STEPS = `- name: copied
  copy: { from: app, to: /srv/app, excludes: ["*.log"] }
- name: ran
  run: { script: "echo {{greeting}} > /srv/ran", environment: { COLOUR: red } }
- name: filed
  file: { path: /srv/filed, content: "filed\\n", mode: "0644" }`;
const TOP = "parameters:\n  greeting: { type: string, default: hello }\n  unused: { type: string, default: nothing }\n";

function write(kitchen: Kitchen): void {
  kitchen.write("app/index.html", "<p>hello</p>\n");
  kitchen.write("app/run.sh", "#!/bin/sh\n");
  kitchen.write("app/deep/er/file", "deep\n");
  symlinkSync("index.html", join(kitchen.recipe, "app/link"));
  kitchen.steps(STEPS, TOP);
}

/** What a plan says of each step: `hit`, or why not, with the inputs that changed. */
async function planned(kitchen: Kitchen, parameters: Readonly<Record<string, string>> = {}): Promise<Readonly<Record<string, string>>> {
  const bakehouse = createBakehouse({ store: kitchen.store });
  const { layers } = bakehouse.plan(bakehouse.load(kitchen.recipe, { parameters }));
  await bakehouse.close();
  return Object.fromEntries(layers.flatMap((layer) => layer.steps).map((step) => [step.address.replace("app/", ""), said(step)]));
}

function said({ hit, reason }: PlannedStep): string {
  if (hit || reason === undefined) return "hit";
  const changes =
    reason.kind === "inputs-changed" ? reason.changes.map(({ input, before, after }) => `${input}: ${before} → ${after}`) : [];
  return [reason.kind, ...changes, ...(reason.kind === "parent-changed" ? [reason.parent] : [])].join("; ");
}

const HIT = { "os/rootfs": "hit", copied: "hit", ran: "hit", filed: "hit" };

describe("the step cache", () => {
  let kitchen: Kitchen;
  let calm: Bake;
  beforeAll(async () => {
    kitchen = await Kitchen.open();
    write(kitchen);
    calm = await kitchen.bake();
  });
  afterAll(() => kitchen.close());
  afterEach(() => {
    rmSync(join(kitchen.recipe, "app"), { recursive: true });
    write(kitchen);
  });

  it.each<[string, (kitchen: Kitchen) => void]>([
    ["nothing", () => undefined],
    [
      "the times of the files",
      ({ recipe }) => readdirSync(join(recipe, "app")).forEach((name) => utimesSync(join(recipe, "app", name), 1, 1)),
    ],
    [
      "comments and layout of the recipe",
      (each) =>
        each.write(
          "bakehouse.yaml",
          `# a comment\n${readFileSync(join(each.recipe, "bakehouse.yaml"), "utf8").replaceAll("{ from: app, to: /srv/app,", "{   to: /srv/app,   from: app,")}`,
        ),
    ],
    ["mode bits that depend on the umask", ({ recipe }) => chmodSync(join(recipe, "app/index.html"), 0o600)],
    ["a file that is left out", (each) => each.write("app/debug.log", "left out")],
    ["a file that no step reads", (each) => each.write("README.md", "unread")],
  ])("hits when %s changed", async (_, change) => {
    change(kitchen);
    expect(await planned(kitchen)).toEqual(HIT);
  });

  const below = { ran: "parent-changed; app/copied", filed: "parent-changed; app/ran" };
  it.each<[string, (kitchen: Kitchen) => void, Readonly<Record<string, unknown>>]>([
    ["an option", (each) => each.steps(STEPS.replace('"0644"', '"0600"'), TOP), { filed: "inputs-changed; option.mode: 0644 → 0600" }],
    [
      "an option of an option",
      (each) => each.steps(STEPS.replace("red", "blue"), TOP),
      { ran: "inputs-changed; option.environment.COLOUR: red → blue", filed: "parent-changed; app/ran" },
    ],
    [
      "a file's content",
      (each) => each.write("app/index.html", "<p>other</p>\n"),
      { copied: expect.stringMatching(/^inputs-changed; file\.app\/index\.html: \S+ → \S+$/), ...below },
    ],
    [
      "a deep file's content, same size and time",
      ({ recipe }) => {
        const file = join(recipe, "app/deep/er/file");
        writeFileSync(file, "peed\n");
        utimesSync(file, 1, 1);
      },
      { copied: expect.stringMatching(/^inputs-changed; file\.app\/deep\/er\/file: /), ...below },
    ],
    [
      "the bit that makes a file a program",
      ({ recipe }) => chmodSync(join(recipe, "app/run.sh"), 0o755),
      { copied: expect.stringMatching(/^inputs-changed; file\.app\/run\.sh: \S+ → \S+ executable$/), ...below },
    ],
    [
      "a new file",
      (each) => each.write("app/new", "new"),
      { copied: expect.stringMatching(/^inputs-changed; file\.app\/new: \(absent\) → /), ...below },
    ],
    [
      "a new empty folder",
      ({ recipe }) => mkdirSync(join(recipe, "app/empty")),
      { copied: "inputs-changed; file.app/empty: (absent) → directory", ...below },
    ],
    [
      "a file that is removed",
      ({ recipe }) => rmSync(join(recipe, "app/deep/er/file")),
      { copied: expect.stringMatching(/^inputs-changed; file\.app\/deep\/er\/file: \S+ → \(absent\)$/), ...below },
    ],
    [
      "a file's name",
      ({ recipe }) => renameSync(join(recipe, "app/run.sh"), join(recipe, "app/start.sh")),
      { copied: expect.stringMatching(/run\.sh: \S+ → \(absent\); file\.app\/start\.sh: \(absent\) → /), ...below },
    ],
    [
      "where a link leads",
      ({ recipe }) => {
        unlinkSync(join(recipe, "app/link"));
        symlinkSync("run.sh", join(recipe, "app/link"));
      },
      { copied: "inputs-changed; file.app/link: → index.html → → run.sh", ...below },
    ],
    [
      "a link that becomes a file",
      (each) => {
        unlinkSync(join(each.recipe, "app/link"));
        each.write("app/link", "<p>hello</p>\n");
      },
      { copied: expect.stringMatching(/^inputs-changed; file\.app\/link: → index\.html → \S+$/), ...below },
    ],
    [
      "a parameter's default",
      (each) => each.steps(STEPS, TOP.replace("hello", "bonjour")),
      { ran: "inputs-changed; option.script: echo hello > /srv/ran → echo bonjour > /srv/ran", filed: "parent-changed; app/ran" },
    ],
  ])("misses when %s changed, and says so", async (_, change, expected) => {
    change(kitchen);
    expect(await planned(kitchen)).toEqual({ ...HIT, ...expected });
  });

  it("misses when the order of two steps changed", async () => {
    const [copied = "", ran = "", filed = ""] = STEPS.split(/\n(?=- )/);
    kitchen.steps([ran, copied, filed].join("\n"), TOP);
    const plan = await planned(kitchen);
    expect(plan).toMatchObject({ "os/rootfs": "hit", filed: expect.stringMatching(/^parent-changed/) });
    expect(plan["ran"]).not.toBe("hit");
  });

  it("misses a parameter's other value where it is used, and nothing where it is not", async () => {
    expect(await planned(kitchen, { greeting: "moin" })).toMatchObject({ copied: "hit", ran: expect.stringContaining("echo moin") });
    expect(await planned(kitchen, { unused: "something" })).toEqual(HIT);
  });

  it("comes back to an earlier state with what it kept of it", async () => {
    kitchen.write("app/index.html", "<p>other</p>\n");
    const other = await kitchen.bake();
    expect(other.digests["app"]).not.toBe(calm.digests["app"]);
    kitchen.write("app/index.html", "<p>hello</p>\n");
    expect(await kitchen.bake()).toMatchObject({ baked: 0, digests: calm.digests });
  });

  it("is passed over by --no-cache and from a step on by --from, with the same result", async () => {
    expect(await kitchen.bake(["--no-cache"])).toEqual({ digests: calm.digests, hits: 0, baked: 4 });
    expect(await kitchen.bake(["--from", "ran"])).toEqual({ digests: calm.digests, hits: 2, baked: 2 });
    expect(await kitchen.bake(["--from", "app/copied"])).toEqual({ digests: calm.digests, hits: 1, baked: 3 });
    expect(errorOf(await kitchen.cli(["bake", "--json", "--from", "rann"]))).toMatchObject({
      code: "USAGE",
      hint: expect.stringContaining("app/ran"),
    });
  });

  it("is shared by a recipe of another name in another folder", async () => {
    const other = join(kitchen.folder, "elsewhere");
    cpSync(kitchen.recipe, other, { recursive: true, verbatimSymlinks: true });
    writeFileSync(join(other, "bakehouse.yaml"), readFileSync(join(other, "bakehouse.yaml"), "utf8").replace("name: tiny", "name: other"));
    expect(await kitchen.bake([other])).toMatchObject({ hits: 4, baked: 0 });
  });
});

describe("a step that fails", () => {
  let kitchen: Kitchen;
  beforeEach(async () => {
    kitchen = await Kitchen.open();
  });
  afterEach(() => kitchen.close());
  const steps = (second: string): void =>
    kitchen.steps(`- name: one\n  run: echo 1 > /srv/one\n- name: two\n  run: ${second}\n- name: three\n  run: echo 3 > /srv/three`);

  it("keeps everything before it; the next run goes on from there", async () => {
    steps("echo partly > /srv/two; exit 1");
    expect((await kitchen.cli(["bake"])).code).toBe(1);
    steps("echo 2 > /srv/two");
    expect(await kitchen.bake()).toMatchObject({ hits: 2, baked: 2 });
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("is shown as it was left with --keep-on-failure, until it is tidied", async () => {
    steps("echo partly > /srv/two; exit 1");
    const failed = await kitchen.cli(["bake", "--keep-on-failure"]);
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/\n {2}try bakehouse shell --failed, to look at the state it left/),
    });
    expect(failed.stderr).not.toContain("bake --keep-on-failure");
    const shell = await kitchen.cli(["shell", "--failed", "--", "cat", "/srv/one", "/srv/two"]);
    expect({ code: shell.code, stdout: shell.stdout }).toEqual({ code: 0, stdout: "1\npartly\n" });
    expect(await kitchen.leftovers({ except: "work/" })).toEqual([]);
    steps("echo 2 > /srv/two");
    expect(await kitchen.bake()).toMatchObject({ hits: 2, baked: 2 });
    await kitchen.cli(["gc", "--apply", "--older-than", "0"]);
  });

  it("refuses an input that is edited while it is baked", async () => {
    kitchen.write("app/file", "before");
    kitchen.steps("- copy: { from: app, to: /srv/app }\n- name: slow\n  run: { file: app/slow.sh }");
    kitchen.write("app/slow.sh", "echo begun; sleep 1; echo > /srv/slow");
    const bake = kitchen.start(["bake", "--json", "-v"]);
    await bake.said(/begun/);
    kitchen.write("app/slow.sh", "echo edited");
    expect(errorOf(await bake.ended)).toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringMatching(/app\/slow: changed while it was being baked: app\/slow\.sh/),
    });
    kitchen.write("app/slow.sh", "echo edited");
    expect((await kitchen.bake()).baked).toBe(2);
    expect(await kitchen.leftovers()).toEqual([]);
  });
});

it("steps that leave the same, or nothing at all, may stand upon each other", async () => {
  const kitchen = await Kitchen.open();
  const note = '  file: { path: /srv/note, content: "one\\n" }';
  kitchen.steps(`- run: "true"\n- run: "true"\n- name: a\n${note}\n- remove: [/srv/note]\n- name: b\n${note}\n- run: test -e /srv/note`);
  const { digests } = await kitchen.bake();
  const shown = await kitchen.cli(["shell", "tiny/app", "--", "cat", "/srv/note"]);
  expect([Object.keys(digests), shown.stdout]).toEqual([["os", "app"], "one\n"]);
  kitchen.close();
});
