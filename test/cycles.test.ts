import { createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { copyFileSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeRepository } from "../src/adapters/apt-resolver/test-repository.testing.ts";
import { Kitchen, errorOf, type CliRun } from "./bad-luck/kitchen.ts";
import { dpkgRoot } from "./dpkg-root.ts";

/** The shape of `cycle run --json`. */
interface RunsData {
  readonly runs: readonly {
    readonly run: string;
    readonly recipe: string;
    readonly outcome: string;
    readonly message?: string;
    readonly channel?: string;
    readonly candidates: readonly { readonly name: string; readonly digest: string }[];
    readonly stages: readonly { readonly stage: string; readonly outcome: string; readonly data: unknown }[];
  }[];
  readonly why?: string;
}
const runsOf = (run: CliRun): RunsData => JSON.parse(run.stdout) as RunsData;

const NOTIFY = "notify: { log: { file: events.jsonl } }\n";
const CYCLE = `cycle: { schedule: every Monday at 03:00 Europe/Warsaw }\n${NOTIFY}`;
const COPY = "- copy: { from: app, to: /srv/app }";
const WEEK_MS = 7 * 86_400_000;

let kitchen: Kitchen;
beforeEach(async () => {
  kitchen = await Kitchen.open();
  kitchen.write("app/page", "one\n");
  kitchen.steps(COPY, CYCLE);
});
afterEach(() => kitchen.close());

const cycle = async (args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<RunsData> =>
  runsOf(await kitchen.cli(["cycle", "run", "--json", ...args], { env }));

/** Types of the events that the file was told of. */
const told = (): readonly string[] => {
  const file = join(kitchen.recipe, "events.jsonl");
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { readonly type: string }).type);
};

function sql<Row>(text: string): readonly Row[] {
  const database = new DatabaseSync(join(kitchen.store, "catalog.db"));
  try {
    return database.prepare(text).all() as unknown as readonly Row[];
  } finally {
    database.close();
  }
}

/** As if the scheduler had dealt with everything up to then, and not since. */
const setConsidered = (at: number): void => void sql(`UPDATE cycles SET considered = ${at}, looked_at = NULL`);

interface RunRow {
  readonly outcome: string;
  readonly resumed: number;
  readonly slot: number | null;
  readonly causes: string;
}
const runRows = (): readonly RunRow[] => sql<RunRow>("SELECT outcome, resumed, slot, causes FROM cycle_runs ORDER BY started_at");

describe("cycle run", () => {
  it("gives a candidate, then nothing when nothing changed, then another one", async () => {
    const first = (await cycle()).runs;
    expect(first).toMatchObject([{ recipe: "tiny", outcome: "candidate", candidates: [{ name: "tiny/app" }] }]);
    expect((await cycle()).runs).toMatchObject([{ outcome: "unchanged", candidates: first[0]?.candidates }]);
    kitchen.write("app/page", "two\n");
    const changed = (await cycle()).runs;
    expect(changed[0]?.outcome).toBe("candidate");
    expect(changed[0]?.candidates).not.toEqual(first[0]?.candidates);
    expect(told()).toEqual(["cycle.started", "cycle.candidate", "cycle.started", "cycle.unchanged", "cycle.started", "cycle.candidate"]);
    const shown = await kitchen.cli(["cycle", "history", "last"]);
    expect(shown.stdout).toMatch(/outcome +candidate/);
    expect(shown.stdout).toMatch(/because of +.*asked for it/);
    expect(readdirSync(join(kitchen.store, "cycles"))).toEqual([]);
  });

  it("promotes to the first channel, or says what is missing and does it with a later run", async () => {
    kitchen.steps(COPY, `${CYCLE}channels: { dev: { approvals: { count: 1, by: [ben] } } }\n`);
    const [waiting] = (await cycle()).runs;
    expect(waiting).toMatchObject({ outcome: "candidate" });
    expect(waiting?.message).toContain("not promoted: approvals");
    kitchen.steps(COPY, `${CYCLE}channels: { dev: {} }\n`);
    expect((await cycle()).runs).toMatchObject([{ outcome: "candidate", channel: "dev", candidates: waiting?.candidates }]);
    expect((await cycle()).runs).toMatchObject([{ outcome: "unchanged", channel: "dev" }]);
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
    kitchen.steps(COPY);
    const run = await kitchen.cli(["cycle", "run", "--json"]);
    expect([run.code, errorOf(run).code]).toEqual([2, "CYCLE_NOT_FOUND"]);
  });

  it("goes on to recipes that stand on what it gave", async () => {
    kitchen.write(
      "above/bakehouse.yaml",
      `name: above\ncycle: { triggers: [parent] }\nlayers:\n  top: { from: image:tiny/app, steps: [run: "true"] }\n`,
    );
    await cycle();
    expect((await cycle(["above"])).runs).toMatchObject([{ recipe: "above", outcome: "candidate" }]);
    kitchen.write("app/page", "two\n");
    const both = (await cycle()).runs;
    expect(both).toMatchObject([
      { recipe: "tiny", outcome: "candidate" },
      { recipe: "above", outcome: "candidate" },
    ]);
    kitchen.write("app/page", "three\n");
    expect((await cycle(["--alone"])).runs).toHaveLength(1);
  });
});

describe("a cycle that is due", () => {
  it("does nothing when nothing is", async () => {
    expect(await cycle(["--due"])).toEqual({ runs: [], why: "nothing is due" });
    expect((await kitchen.cli(["cycle", "status"])).stdout).toContain("waiting");
    expect((await kitchen.cli(["cycle", "next", "--count", "2"])).stdout.trimEnd().split("\n")).toHaveLength(4);
  });

  it("catches up five missed runs with one, whatever number of schedulers looks at it", async () => {
    await cycle(["--due"]);
    setConsidered(Date.now() - 5 * WEEK_MS);
    expect((await kitchen.cli(["cycle", "status"])).stdout).toContain("5 runs were missed, one catches up");
    const racing = await Promise.all([cycle(["--due"]), cycle(["--due"]), cycle(["--due"])]);
    expect(racing.flatMap(({ runs }) => runs)).toHaveLength(1);
    expect(runRows()).toMatchObject([{ outcome: "candidate" }]);
    expect(runRows()[0]?.causes).toContain('"missed":4');
    expect(await cycle(["--due"])).toMatchObject({ runs: [] });
  });

  it("is made once for each run of the schedule, also when the clock was set back meanwhile", async () => {
    await cycle(["--due"]);
    setConsidered(Date.now() - WEEK_MS);
    expect((await cycle(["--due"])).runs).toHaveLength(1);
    // the same Monday again, as if the clock had been set back
    setConsidered(Date.now() - WEEK_MS);
    expect(await cycle(["--due"])).toMatchObject({ runs: [] });
    // dealt with up to 2036, by a clock that was wrong then
    setConsidered(Date.UTC(2036, 0, 1));
    const run = await kitchen.cli(["cycle", "run", "--due", "--json"]);
    expect(runsOf(run).runs).toEqual([]);
    expect(run.stderr).toContain("behind what this cycle has dealt with: it goes on from now");
    expect(sql<{ readonly considered: number }>("SELECT considered FROM cycles")[0]?.considered).toBeLessThanOrEqual(Date.now());
  });

  it("is due when the tarball of a foundation changed", async () => {
    kitchen.steps(COPY, "cycle: { triggers: [sources] }\n");
    await cycle();
    rmSync(join(kitchen.recipe, "root.tar")); // a link to the one that all tests share
    copyFileSync(await dpkgRoot(), join(kitchen.recipe, "root.tar"));
    setConsidered(Date.now());
    expect((await cycle(["--due"])).runs).toMatchObject([{ outcome: "candidate" }]);
    expect(runRows().at(-1)?.causes).toContain('"trigger":"sources","what":"os/rootfs"');
  });

  it("waits for its window", async () => {
    const hour = new Date(Date.now() + 6 * 3_600_000).getUTCHours();
    kitchen.steps(COPY, `cycle:\n  schedule: every Monday at 03:00\n  windows: [{ opens: "every day at ${hour}:00", lasts: 2h }]\n`);
    await cycle(["--due"]);
    setConsidered(Date.now() - WEEK_MS);
    expect(await cycle(["--due"])).toEqual({ runs: [], why: "due, and waits for a maintenance window" });
    expect((await cycle()).runs).toHaveLength(1); // somebody asks for it
  });
});

describe("packages of a repository", () => {
  const repository = (version: string, date?: Date): void =>
    writeRepository(join(kitchen.recipe, "repo"), {
      suite: "stable",
      packages: [{ name: "hello", version }],
      ...(date === undefined ? {} : { date }),
    });
  const lock = (): string => readFileSync(join(kitchen.recipe, "bakehouse.lock"), "utf8");
  beforeEach(async () => {
    copyFileSync(await dpkgRoot(), join(kitchen.recipe, "dpkg.tar"));
    repository("1.0");
    kitchen.write(
      "bakehouse.yaml",
      `name: shop
cycle: { triggers: [packages, sources] }
${NOTIFY}repositories: { own: { url: "file:repo", suites: [stable], trusted: true } }
layers:
  os: { steps: [rootfs: { source: dpkg.tar }] }
  app: { from: os, steps: [apt: [hello]] }
`,
    );
  });

  it("make it due when one is newer, and are baked", async () => {
    expect((await cycle()).runs).toMatchObject([{ outcome: "candidate" }]);
    setConsidered(Date.now());
    expect((await cycle(["--due"])).runs).toEqual([]); // looked, and found nothing
    repository("2.0");
    setConsidered(Date.now());
    expect((await cycle(["--due"])).runs).toMatchObject([{ outcome: "candidate" }]);
    expect(runRows().at(-1)?.causes).toContain("hello 1.0 → 2.0");
    expect(lock()).toContain('"2.0"');
  });

  it("are refused from a mirror that went back in time, in a store that has seen it and in one that has not", async () => {
    repository("2.0");
    await cycle();
    const before = lock();
    repository("1.0", new Date(Date.now() - 30 * 86_400_000));
    const seen = await kitchen.cli(["cycle", "run", "--json"]);
    expect(seen.code).toBe(4);
    expect(runsOf(seen).runs[0]?.message).toMatch(/The mirror is older than the lock:\n.*has an older release file/);
    const fresh = await kitchen.cli(["cycle", "run", "--json"], { store: join(kitchen.folder, "fresh") });
    expect(fresh.code).toBe(4);
    expect(runsOf(fresh).runs[0]?.message).toContain("hello 1.0 is lower than the locked 2.0");
    expect(lock()).toBe(before);
  });

  it("leave the lock alone when what they give cannot be baked, or somebody changed the lock meanwhile", async () => {
    await cycle();
    const before = lock();
    repository("2.0");
    const good = readFileSync(join(kitchen.recipe, "bakehouse.yaml"), "utf8");
    kitchen.write("bakehouse.yaml", good.replace("apt: [hello]]", 'apt: [hello], run: "exit 7"]'));
    expect((await cycle()).runs).toMatchObject([{ outcome: "failed" }]);
    expect(lock()).toBe(before);
    kitchen.write("bakehouse.yaml", good);
    await kitchen.cli(["cycle", "run"], { env: { BAKEHOUSE_CRASH_AT: "cycle-stage-begun@publish" } });
    kitchen.write("bakehouse.lock", `${before}\n`);
    const [run] = (await cycle()).runs;
    expect(run).toMatchObject({ outcome: "candidate", message: "the recipe's lock was changed meanwhile and is left as it is" });
    expect(lock()).toBe(`${before}\n`);
  });
});

describe("kill -9 of a run", () => {
  const points = [
    "cycle-begun",
    ...["lock", "bake", "check", "papers", "promote"].flatMap((stage) => [`cycle-stage-begun@${stage}`, `cycle-stage-done@${stage}`]),
    "index-written@app",
    "ledger-written",
    "ledger-committed",
  ];
  it.each(points)("at %s: the next one goes on with it, and everything happened once", async (point) => {
    kitchen.steps(COPY, `${CYCLE}channels: { dev: {} }\n`);
    expect((await kitchen.cli(["cycle", "run"], { env: { BAKEHOUSE_CRASH_AT: point } })).code).toBe("SIGKILL");
    expect((await kitchen.cli(["cycle", "status"])).stdout).toContain("a run was left behind");
    const { runs } = await cycle();
    expect(runs).toMatchObject([{ outcome: "candidate", channel: "dev" }]);
    expect(runRows()).toMatchObject([{ outcome: "candidate", resumed: 1 }]);
    expect(told()).toEqual(["cycle.started", "channel.moved", "cycle.candidate"]);
    expect(sql("SELECT * FROM moves")).toHaveLength(1);
    expect(readdirSync(join(kitchen.store, "cycles"))).toEqual([]);
    expect(await kitchen.leftovers()).toEqual([]);
  });

  it("at its end: others are told by the next one", async () => {
    expect((await kitchen.cli(["cycle", "run"], { env: { BAKEHOUSE_CRASH_AT: "cycle-ended" } })).code).toBe("SIGKILL");
    expect(told()).toEqual([]);
    expect((await cycle()).runs).toMatchObject([{ outcome: "unchanged" }]);
    expect(told()).toEqual(["cycle.started", "cycle.candidate", "cycle.started", "cycle.unchanged"]);
    expect(readdirSync(join(kitchen.store, "cycles"))).toEqual([]);
  });
});

describe("cycle watch", () => {
  it("runs what is due, sleeps, and ends in order", async () => {
    await cycle(["--due"]);
    setConsidered(Date.now() - WEEK_MS);
    const watching = kitchen.start(["cycle", "watch"]);
    await watching.said(/Waiting until/);
    watching.child.kill("SIGTERM");
    const ended = await watching.ended;
    expect(ended.stderr).toContain("Candidate tiny/app");
    expect(ended.stdout).toContain("Stopped after one run.");
    expect(runRows()).toMatchObject([{ outcome: "candidate" }]);
  });

  it("stops a run that is at work, which then goes on", async () => {
    kitchen.steps(`- run: "[ -e /srv/app/slow ] && sleep 600; true"\n`.replace("- run", `${COPY}\n- run`), CYCLE);
    kitchen.write("app/slow", "");
    await cycle(["--due"]);
    setConsidered(Date.now() - WEEK_MS);
    const watching = kitchen.start(["cycle", "watch"]);
    await watching.said(/app\/run: baking/);
    watching.child.kill("SIGTERM");
    await watching.ended;
    expect(runRows()).toMatchObject([{ outcome: "paused" }]);
    expect(await kitchen.leftovers()).toEqual([]);
    kitchen.steps(COPY, CYCLE);
    expect((await cycle(["--due"])).runs).toMatchObject([{ outcome: "candidate" }]);
    expect(runRows()).toMatchObject([{ outcome: "candidate", resumed: 1 }]);
  });
});

describe("notifications", () => {
  interface Received {
    readonly body: string;
    readonly headers: IncomingHttpHeaders;
  }
  const receive = async (answer: (count: number) => number) => {
    const received: Received[] = [];
    const server = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8").on("data", (text: string) => void (body += text));
      request.on("end", () => {
        received.push({ body, headers: request.headers });
        const status = answer(received.length);
        if (status > 0) response.writeHead(status).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      received,
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
      close: () => server.closeAllConnections() ?? server.close(),
    };
  };
  const statuses = (): readonly unknown[] => sql("SELECT target, outcome, attempts FROM deliveries ORDER BY notice, target");

  it("are signed, and tried again with the same id", async () => {
    const hook = await receive((count) => (count === 1 ? 503 : 204));
    kitchen.steps(
      COPY,
      `${CYCLE.replace(NOTIFY, "")}secrets: { hook: { env: HOOK_KEY } }\nnotify: { ops: { webhook: "${hook.url}", secret: hook, events: [cycle.candidate] } }\n`,
    );
    await cycle([], { HOOK_KEY: "0123456789" });
    expect(hook.received).toHaveLength(2);
    const [first, second] = hook.received;
    expect(second?.body).toBe(first?.body);
    expect(JSON.parse(first?.body ?? "")).toMatchObject({
      specversion: "1.0",
      type: "cycle.candidate",
      version: 1,
      subject: "tiny",
      data: { recipe: "tiny", channel: null },
    });
    expect(first?.headers["content-type"]).toContain("application/cloudevents+json");
    expect(first?.headers["bakehouse-signature"]).toBe(
      `sha256=${createHmac("sha256", "0123456789")
        .update(first?.body ?? "")
        .digest("hex")}`,
    );
    expect(statuses()).toEqual([{ target: "ops", outcome: "delivered", attempts: 2 }]);
    hook.close();
  });

  it("that fail do not fail the work, and are recorded", async () => {
    const silent = await receive(() => 0);
    kitchen.steps(
      COPY,
      `${CYCLE.replace(NOTIFY, "")}secrets: { hook: { env: HOOK_KEY } }
notify:
  silent: { webhook: "${silent.url}", events: [cycle.candidate], timeout: 1s, retries: 0 }
  unsigned: { webhook: "${silent.url}", secret: hook, events: [cycle.candidate], retries: 0 }
  program: { command: [sh, -c, "cat > got; echo no >&2; exit 9"], events: [cycle.candidate], retries: 0 }
  gone: { command: [no-such-program], events: [cycle.candidate], retries: 0 }
`,
    );
    const run = await kitchen.cli(["cycle", "run", "--json"]);
    expect(run.code).toBe(0);
    expect(runsOf(run).runs).toMatchObject([{ outcome: "candidate" }]);
    expect(sql("SELECT target, message FROM deliveries ORDER BY target")).toMatchObject([
      { target: "gone", message: expect.stringContaining("ENOENT") as string },
      { target: "program", message: "it ended with 9: no" },
      { target: "silent", message: "no answer within 1 s" },
      { target: "unsigned", message: expect.stringContaining("HOOK_KEY") as string },
    ]);
    expect(readFileSync(join(kitchen.recipe, "got"), "utf8")).toContain('"type":"cycle.candidate"');
    expect((await kitchen.cli(["events"])).stdout).toContain("silent failed: no answer within 1 s");
    silent.close();
  });

  it("tell of bakes, promotions and revocations, once each, also when the process that made them died", async () => {
    kitchen.steps(COPY, `channels: { dev: {}, qa: {} }\nnotify: { log: { file: events.jsonl } }\n`);
    await kitchen.bake();
    await kitchen.bake();
    expect(told()).toEqual(["bake.completed"]);
    await kitchen.cli(["promote", "tiny/app", "--to", "dev"], { env: { BAKEHOUSE_CRASH_AT: "ledger-committed" } });
    expect(told()).toHaveLength(1);
    await kitchen.cli(["promote", "tiny/app@dev", "--to", "qa"]);
    await kitchen.cli(["demote", "tiny/app@qa"]);
    await kitchen.cli(["revoke", "tiny/app", "--reason", "leaks"]);
    await kitchen.cli(["restore", "tiny/app"]);
    expect(told()).toEqual(["bake.completed", "channel.moved", "channel.moved", "channel.moved", "image.revoked", "image.restored"]);
    kitchen.steps('- run: "exit 3"', "notify: { log: { file: events.jsonl, events: [bake.failed] } }\n");
    expect((await kitchen.cli(["bake"])).code).toBe(1);
    expect(told().at(-1)).toBe("bake.failed");
  });
});
