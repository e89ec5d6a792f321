import { describe, expect, it } from "vitest";
import { recordingStreams } from "../../test/recording-streams.ts";
import { BakehouseError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { type AnyCommand, type CommandRow, defineCommand } from "./command.ts";
import { main } from "./main.ts";

const toast = defineCommand({
  name: "toast",
  summary: "Toast some slices",
  arguments: { bread: { summary: "Which bread" }, more: { summary: "More breads", many: true, required: false } },
  options: {
    minutes: { value: "n", type: "count", default: 2, summary: "How long" },
    level: { value: "level", choices: ["light", "dark"], summary: "How dark" },
    with: { value: "spread", many: true, summary: "What goes on it" },
    noButter: { summary: "Without butter" },
    keepOnFailure: { short: "k", summary: "Keep burnt ones" },
  },
  examples: [{ line: "toast rye --level dark", does: "As the baker likes it" }],
  reports: true,
  run: async ({ args, options, global, report }) => {
    if (args.bread === "burnt")
      throw new BakehouseError(
        "STEP_FAILED",
        'The toast "burnt" is black',
        { hint: "bakehouse toast rye", details: { shade: 9 } },
        new Error("smoke"),
      );
    if (args.bread === "broken") throw new TypeError("slot is undefined");
    if (args.bread === "locked") throw Object.assign(new Error("EACCES: permission denied"), { code: "EACCES", path: "/root/bread" });
    report({ type: "warning", message: "it is hot", at: "2026-01-01T00:00:00.000Z", bake: "b1" });
    return { ...args, ...options, store: global.store };
  },
  render: ({ bread }) => `Toasted ${bread}\n`,
});
const slice = (name: string): AnyCommand =>
  defineCommand({
    name,
    summary: `Do ${name}`,
    examples: [],
    run: async () => name,
    render: (data) => `${data}\n`,
    exitCode: () => (name === "bread show" ? 3 : 0),
  });
const row = (command: AnyCommand): CommandRow => ({
  name: command.name,
  group: "Bake",
  summary: command.summary,
  load: async () => ({ command }),
});
const commands = [row(toast), row(slice("bread show")), row(slice("bread cut"))];

async function type(line: string, options: Parameters<typeof recordingStreams>[0] = {}) {
  const { streams, text } = recordingStreams(options);
  const code = await main(
    line.split(" ").filter((word) => word !== ""),
    { streams, commands, folder: "/tmp" },
  );
  return { code, ...text };
}

describe("the command line", () => {
  it("reads arguments and options into typed data", async () => {
    const { out, code } = await type("toast rye oat --minutes 7 --with jam --with honey --no-butter -k --json --store /s");
    expect(JSON.parse(out)).toEqual({
      bread: "rye",
      more: ["oat"],
      minutes: 7,
      level: undefined,
      with: ["jam", "honey"],
      noButter: true,
      keepOnFailure: true,
      store: "/s",
    });
    expect(code).toBe(0);
  });

  it("has defaults", async () => {
    const { out } = await type("--json toast rye", { env: { BAKEHOUSE_HOME: "here" } });
    expect(JSON.parse(out)).toEqual({
      bread: "rye",
      more: [],
      minutes: 2,
      with: [],
      noButter: false,
      keepOnFailure: false,
      store: "/tmp/here",
    });
  });

  it("renders for people, with events on stderr", async () => {
    expect(await type("toast rye")).toEqual({ code: 0, out: "Toasted rye\n", err: "Warning: it is hot\n" });
  });

  it("prints events and the result as lines of JSON", async () => {
    const lines = (await type("toast rye --events")).out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string });
    expect(lines.map(({ type }) => type)).toEqual(["warning", "result"]);
  });

  it("knows commands of two words, and the exit code of their data", async () => {
    expect(await type("bread show")).toEqual({ code: 3, out: "bread show\n", err: "" });
    expect(await type("bread cut --json")).toEqual({ code: 0, out: '"bread cut"\n', err: "" });
  });

  it("prints version and help on stdout", async () => {
    expect(await type("--version")).toEqual({ code: 0, out: `${VERSION}\n`, err: "" });
    const help = await type("");
    expect(help.out).toContain("Toast some slices");
    expect(help.out).toContain("bread");
    expect(help.code).toBe(0);
    const one = await type("toast --help");
    expect(one.out).toContain("# As the baker likes it\n  bakehouse toast rye --level dark");
    expect(one.out).toMatch(/--level <level> +How dark: light, dark/);
    expect((await type("help toast")).out).toBe(one.out);
    expect((await type("bread --help")).out).toContain("Do bread cut");
    expect(await type("bread")).toEqual(await type("bread --help"));
  });

  it("fits help into a narrow terminal", async () => {
    const { out } = await type("toast --help", { isTTY: true, columns: 46, env: { NO_COLOR: "1" } });
    expect(
      Math.max(
        ...out
          .split("\n")
          .filter((line) => !line.startsWith("Usage:"))
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(46);
  });
});

describe("what is typed wrong", () => {
  it.each([
    ["tost rye", "Unknown command 'tost': did you mean toast?", "bakehouse --help"],
    ["toast rye --minuts 3", "Unknown option '--minuts': did you mean --minutes?", "bakehouse toast --help"],
    ["toast", "Missing required argument 'bread'", "bakehouse toast --help"],
    ["toast rye --minutes 0", '--minutes <n> needs a whole number from 1, not "0"', "bakehouse toast --help"],
    ["toast rye --level black", '--level <level> cannot be "black"; it is one of light, dark', "bakehouse toast --help"],
    ["toast rye --with", "Option '--with <spread>' argument missing", "bakehouse toast --help"],
    ["bread shw", "Unknown command 'shw': did you mean show?", "bakehouse bread --help"],
    ["bread cut x", "Too many arguments for 'cut'. Expected 0 arguments but got 1: x.", "bakehouse bread cut --help"],
  ])("%s", async (line, message, hint) => {
    expect(await type(line)).toEqual({ code: 2, out: "", err: `error USAGE ${message}\n  try ${hint}\n` });
  });
});

describe("errors", () => {
  it("have code, message and hint, and the code's exit", async () => {
    expect(await type("toast burnt")).toEqual({
      code: 1,
      out: "",
      err: 'error STEP_FAILED The toast "burnt" is black\n  try bakehouse toast rye\n',
    });
    expect((await type("toast burnt --verbose")).err).toContain("because smoke");
  });

  it("are one line of JSON with --json", async () => {
    const { err, out } = await type("toast burnt --json");
    expect(JSON.parse(err)).toEqual({
      error: { code: "STEP_FAILED", message: 'The toast "burnt" is black', hint: "bakehouse toast rye", details: { shade: 9 } },
    });
    expect(out).toBe("");
  });

  it("blame nobody for files that this user may not use", async () => {
    const { err, code } = await type("toast locked");
    expect(err).toMatch(/^error SETUP_INCOMPLETE This user may not use \/root\/bread \(EACCES\)\n {2}hint .*sudo/);
    expect(code).toBe(3);
  });

  it("show the stack when the fault is ours", async () => {
    const { err, code } = await type("toast broken");
    expect(err).toMatch(/^error FAULT .*report it/);
    expect(err).toContain("TypeError: slot is undefined\n    at ");
    expect(code).toBe(70);
  });
});

describe("colours", () => {
  const escape = "\u001b[";
  it("are for terminals that want them", async () => {
    expect((await type("toast burnt", { isTTY: true })).err).toContain(escape);
    expect((await type("toast burnt", { isTTY: true, env: { NO_COLOR: "1" } })).err).not.toContain(escape);
    expect((await type("toast burnt --no-color", { isTTY: true })).err).not.toContain(escape);
    expect((await type("toast burnt", { isTTY: true, env: { TERM: "dumb" } })).err).not.toContain(escape);
    expect((await type("toast burnt")).err).not.toContain(escape);
    expect((await type("toast burnt", { env: { FORCE_COLOR: "1" } })).err).toContain(escape);
  });
});

describe("what to type next", () => {
  const tell = { ...toast, name: "tell", render: () => "bakehouse toast rye; `bakehouse init` --, bakehouse toast --store x\n" };
  const answered = async (store: readonly string[], env: Readonly<Record<string, string>>, more: Partial<AnyCommand> = {}) => {
    const { streams, text } = recordingStreams({ env });
    const rows = [...commands, row({ ...tell, ...more })];
    await main([...store, "tell", "rye"], { streams, commands: rows, folder: "/tmp" });
    await main([...store, "toast", "burnt"], { streams, commands: rows, folder: "/tmp" });
    return text.out + text.err.split("\n").at(-2);
  };

  it.each([
    [[], {}, "bakehouse toast rye; `bakehouse init` --, bakehouse toast --store x\n  try bakehouse toast rye"],
    [
      [],
      { BAKEHOUSE_CALLED_AS: "./bakehouse" },
      "./bakehouse toast rye; `./bakehouse init` --, ./bakehouse toast --store x\n  try ./bakehouse toast rye",
    ],
    [
      [],
      { BAKEHOUSE_CALLED_AS: "/opt/b/bakehouse", PATH: "/bin:/opt/b" },
      "bakehouse toast rye; `bakehouse init` --, bakehouse toast --store x\n  try bakehouse toast rye",
    ],
    [["--store", "/s"], { BAKEHOUSE_CALLED_AS: "../bakehouse" }, "../bakehouse --store /s toast rye"],
    [["--store=/s"], { BAKEHOUSE_CALLED_AS: "bakehouse" }, "  try bakehouse --store /s toast rye"],
    [[], { BAKEHOUSE_CALLED_AS: "/my folder/bakehouse" }, "  try bakehouse toast rye"],
  ])("names program and store as they were typed: %j %j", async (store, env, expected) => {
    expect(await answered(store, env)).toContain(expected);
  });

  it("names the recipe that the command was about", async () => {
    const bake = defineCommand({
      name: "bake",
      summary: "Bake",
      arguments: { recipe: { summary: "Which", required: false, default: ".", completes: "file" } },
      examples: [],
      run: () =>
        Promise.reject(
          new BakehouseError("LOCK_MISSING", "none", { hint: "bakehouse lock (or: bakehouse bake --update-lock; bakehouse bake DIR)" }),
        ),
      render: () => "",
    });
    const { streams, text } = recordingStreams();
    await main(["bake"], { streams, commands: [row(bake)], folder: "/tmp" });
    await main(["bake", "a/shop"], { streams, commands: [row(bake)], folder: "/tmp" });
    expect(text.err.match(/try .*/g)).toEqual([
      "try bakehouse lock (or: bakehouse bake --update-lock; bakehouse bake DIR)",
      "try bakehouse lock a/shop (or: bakehouse bake a/shop --update-lock; bakehouse bake DIR)",
    ]);
  });

  it("leaves documents as they are", async () => {
    expect(await answered([], { BAKEHOUSE_CALLED_AS: "./bakehouse" }, { printsDocument: true })).toMatch(
      /^bakehouse toast rye; .*\n {2}try \.\/bakehouse/,
    );
  });
});
