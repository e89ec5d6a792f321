import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { errorOf, Kitchen, type RunningCli } from "./kitchen.ts";

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
});
afterEach(async () => {
  const left = await kitchen.leftovers();
  kitchen.close();
  expect(left).toEqual([]);
});

const script = (text: string, more = ""): void => kitchen.steps(`- name: script\n${more}  run: |\n${text.replaceAll(/^(?=.)/gm, "    ")}`);

describe("a script that fails", () => {
  it("is named with its step, exit code, last lines and what to do", async () => {
    script("echo first\necho 'cannot find the thing' >&2\nexit 7");
    const run = await kitchen.cli(["bake"]);
    expect(run.code).toBe(1);
    expect(run.stderr).toMatch(
      /error STEP_FAILED app\/script: script ended with exit code 7\n {2}\| first\n {2}\| cannot find the thing\n {2}try .*--keep-on-failure/,
    );
    expect(run.stderr).not.toMatch(/^ +at /m);
    const error = errorOf(await kitchen.cli(["bake", "--json"]));
    expect(error).toMatchObject({ code: "STEP_FAILED", details: { step: "app/script", exitCode: 7 } });
  });

  it("may be killed by a signal", async () => {
    script("kill -KILL $$");
    expect(errorOf(await kitchen.cli(["bake", "--json"])).message).toMatch(/signal 9/);
  });

  it.each(["bubblewrap", "runc"])("hangs until its timeout, and ends with all that it has started (%s)", async (runner) => {
    script("echo waiting\nsetsid sleep 1000 & sleep 1000", "  timeout: 1s\n");
    const run = await kitchen.cli(["bake", "--json", "--runner", runner]);
    expect(errorOf(run)).toMatchObject({
      code: "STEP_TIMEOUT",
      message: expect.stringMatching(/^app\/script: not done after 1 s\n {2}\| waiting/),
    });
    expect(run.code).toBe(1);
  });

  it("cannot hold out against the timeout by ignoring signals", async () => {
    script("trap '' TERM INT HUP PIPE\nwhile :; do sleep 1; done", "  timeout: 1s\n");
    expect(errorOf(await kitchen.cli(["bake", "--json"])).code).toBe("STEP_TIMEOUT");
  });
});

describe.each(["bubblewrap", "runc"])("a script that leaves processes (%s)", (runner) => {
  it("ends when it ends itself: daemons go with it, and an open pipe does not keep the bake", async () => {
    script("(setsid sh -c 'sleep 1000' &) ; setsid -f sleep 1000; nohup sleep 1000 & echo done > /srv/done", "  timeout: 60s\n");
    expect((await kitchen.bake(["--runner", runner])).baked).toBe(1);
  });

  it("may start many: a thousand are no trouble, and none is left", async () => {
    script("i=0; while [ $i -lt 1000 ]; do sleep 1000 & i=$((i+1)); done; echo $i > /srv/count", "  timeout: 120s\n");
    expect((await kitchen.bake(["--runner", runner])).baked).toBe(1);
  });
});

describe("a script that prints", () => {
  it("a gigabyte costs neither memory nor disk", async () => {
    script("yes 'a line of some length that says nothing at all, over and over again' | head -c 1000000000; echo the end");
    const bake = kitchen.start(["bake", "--json"]);
    const peak = await peakMemory(bake);
    expect((await bake.ended).code).toBe(0);
    expect(peak.mebibytes).toBeLessThan(250);
    const log = readFileSync(logFile(), "utf8");
    expect(log.length).toBeLessThan(40 * 1024 * 1024);
    expect(log).toMatch(/very much output: what follows is left out/);
    expect(log).toMatch(/the end\n$/);
  });

  it("a gigabyte and then fails is shown by its end", async () => {
    script("yes | head -c 1000000000; echo the end; exit 3");
    expect(errorOf(await kitchen.cli(["bake", "--json"])).message).toMatch(/exit code 3(\n {2}\| y)+\n {2}\| the end$/);
  });

  it("one line without an end costs no memory either", async () => {
    script("head -c 300000000 /dev/zero | tr '\\0' x; exit 3");
    const bake = kitchen.start(["bake", "--json"]);
    const peak = await peakMemory(bake);
    expect(peak.mebibytes).toBeLessThan(250);
    expect(errorOf(await bake.ended).message.length).toBeLessThan(10_000);
  });

  it("bytes and escape codes harms no terminal", async () => {
    script(
      "printf 'red \\033[31mtext\\033[0m \\033]0;title\\007 \\377\\376 bell\\007 back\\010space\\rover\\n'; head -c 100000 /dev/urandom; echo; exit 3",
    );
    const run = await kitchen.cli(["bake", "-v"]);
    expect(run.stderr).toMatch(/red text {2}\ufffd\ufffd bell\ufffd back\ufffdspace/);
    const texts = [
      run.stderr,
      readFileSync(logFile(), "utf8"),
      readFileSync(join(kitchen.store, "logs", newestLog(), "events.jsonl"), "utf8"),
    ];

    for (const text of texts) expect(text).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/);
  });
});

const newestLog = (): string => kitchen.logs().at(-1) ?? "";
const logFile = (): string => join(kitchen.store, "logs", newestLog(), "log.txt");

/** The most memory that the process had, by what the kernel says while it runs. */
async function peakMemory(cli: RunningCli): Promise<{ readonly mebibytes: number }> {
  let peak = 0;
  let over = false;
  void cli.ended.then(() => (over = true));
  while (!over) {
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+) kB/.exec(statusOf(cli.pid))?.[1] ?? 0));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { mebibytes: peak / 1024 };
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}
