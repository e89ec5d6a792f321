import { spawn } from "node:child_process";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CliRun, errorOf, Kitchen, running } from "./kitchen.ts";

let kitchen: Kitchen;
let calm: Readonly<Record<string, string>>;

/** A first step that is kept, and a second that takes as long as it is let. */
beforeEach(async () => {
  kitchen = await Kitchen.open();
  kitchen.steps("- name: quick\n  run: echo quick > /srv/quick\n- name: slow\n  run: { file: slow.sh }");
  kitchen.write("slow.sh", "echo begun; (setsid sleep 1000 &); sleep 1000; echo slow > /srv/slow\n");
});
afterEach(() => kitchen.close());

/** The script no longer waits; its result is what it would have been. */
async function expectToGoOn(): Promise<void> {
  expect(await kitchen.leftovers()).toEqual([]);
  kitchen.write("slow.sh", "echo slow > /srv/slow\n");
  const bake = await kitchen.bake();
  expect(bake).toMatchObject({ hits: 2, baked: 1 });
  calm ??= bake.digests;
  expect(bake.digests).toEqual(calm);
  expect(await kitchen.inspect()).toEqual({ images: 2, running: 0, misses: 0, problems: [] });
}

describe("a bake that is stopped", () => {
  it.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "by %s tidies up, says what is kept, ends with 130, and goes on later",
    async (signal) => {
      const bake = kitchen.start(["bake", "-v"]);
      await bake.said(/begun/);
      bake.child.kill(signal);
      const run = await bake.ended;
      expect(run.code).toBe(130);
      expect(run.stderr).toMatch(/error CANCELLED Stopped\. Every finished step is kept; the same command goes on from there\n$/);
      expect((await bakesOf())[0]).toBe("cancelled");
      await expectToGoOn();
    },
  );

  it("in JSON says the same", async () => {
    const bake = kitchen.start(["bake", "--events"]);
    await bake.said(/begun/);
    bake.child.kill("SIGINT");
    const run = await bake.ended;
    expect(run.code).toBe(130);
    expect(run.stdout).toMatch(/"type":"bake-ended","outcome":"cancelled"/);
  });

  it("twice ends at once, and the next run tidies", async () => {
    const bake = kitchen.start(["bake", "-v"]);
    await bake.said(/begun/);
    bake.child.kill("SIGSTOP"); // so that both are there before it can act on the first
    bake.child.kill("SIGINT");
    bake.child.kill("SIGTERM");
    bake.child.kill("SIGCONT");
    expect((await bake.ended).code).toBe(130);
    await expectToGoOnAfterTidying();
  });

  it("while it waits for another bake of the same step stops waiting", async () => {
    const first = kitchen.start(["bake", "-v"]);
    await first.said(/begun/);
    const second = kitchen.start(["bake", "-v"]);
    await second.said(/waiting for process \d+/);
    second.child.kill("SIGINT");
    expect((await second.ended).code).toBe(130);
    expect(first.child.exitCode).toBeNull();
    first.child.kill("SIGINT");
    await first.ended;
    await expectToGoOn();
  });

  it("before it has begun does nothing", async () => {
    const bake = kitchen.start(["bake"], {}, {});
    await bake.said(/Baking tiny/);
    bake.child.kill("SIGINT");
    expect((await bake.ended).code).toBe(130);
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("when nobody reads what it says bakes on", async () => {
    kitchen.write("slow.sh", "echo begun; sleep 1; seq 1 100000; echo slow > /srv/slow\n");
    const bake = kitchen.start(["bake", "-v"]);
    await bake.said(/begun/);
    bake.child.stderr?.destroy();
    bake.child.stdout?.destroy();
    expect((await bake.ended).code).toBe(0);
    expect(await kitchen.leftovers()).toEqual([]);
    expect(await kitchen.inspect()).toEqual({ images: 2, running: 0, misses: 0, problems: [] });
  });
});

/** A dead holder is found by the next run: its own folder is left until then. */
async function expectToGoOnAfterTidying(): Promise<void> {
  expect(await kitchen.leftovers({ except: "work/" })).toEqual([]);
  kitchen.write("slow.sh", "echo slow > /srv/slow\n");
  await kitchen.bake();
  expect(await kitchen.leftovers()).toEqual([]);
  expect(await kitchen.inspect()).toEqual({ images: 2, running: 0, misses: 0, problems: [] });
}

describe("a bake on a terminal", () => {
  /** script(1) gives it a pseudo-terminal; what is typed comes from our pipe. */
  const onTerminal = () => {
    const words = kitchen.argv(["bake"]).map((word) => `'${word}'`);
    const child = spawn("script", ["--quiet", "--return", "--command", words.join(" "), "/dev/null"], {
      cwd: kitchen.recipe,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", TERM: "xterm", HOME: kitchen.folder },
      stdio: ["pipe", "pipe", "pipe"],
    });
    return { child, cli: running(child) };
  };
  const CTRL_C = "\u0003";

  it("says on Ctrl-C that it tidies up, and ends with 130", async () => {
    const { child, cli } = onTerminal();
    await cli.said(/app\/slow/);
    child.stdin.write(CTRL_C);
    const run: CliRun = await cli.ended;
    expect(run.stdout).toMatch(/Stopping and tidying up; Ctrl-C again ends at once\./);
    expect(run.stdout).toMatch(/CANCELLED/);
    expect(run.stdout.endsWith("\u001b[?25h") || !run.stdout.includes("\u001b[?25l")).toBe(true); // the cursor is shown again
    expect(run.code).toBe(130);
    await expectToGoOn();
  });

  it("whose window is closed leaves nothing", async () => {
    const { child, cli } = onTerminal();
    await cli.said(/app\/slow/);
    child.kill("SIGKILL");
    await cli.ended;
    await expectToGoOnAfterTidying();
  });
});

async function bakesOf(): Promise<readonly string[]> {
  const { stdout } = await kitchen.cli(["bakes", "--json"]);
  const data = JSON.parse(stdout) as { readonly bakes: readonly { readonly outcome: string }[] };
  return data.bakes.map(({ outcome }) => outcome);
}

describe("errors", () => {
  it("are told as JSON on stderr, too", async () => {
    const bake = kitchen.start(["bake", "--json", "-v"]);
    await bake.said(/begun/);
    bake.child.kill("SIGTERM");
    expect(errorOf(await bake.ended)).toMatchObject({ code: "CANCELLED" });
  });
});
