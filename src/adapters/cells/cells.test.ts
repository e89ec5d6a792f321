import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readImage } from "../../engine/image-content.ts";
import { createBakehouse } from "../../presets/create-bakehouse.ts";
import { copyTree, tinyStore } from "../../../test/shared-store.ts";
import { bakeExample, type BakedExample } from "../../../test/cells/bake-example.ts";
import type { Cell, CellRequest, Cells } from "../../ports/cells.ts";

let baked: BakedExample;
let cells: Cells;
beforeAll(async () => {
  baked = await bakeExample("examples/shop");
  cells = await baked.bakehouse.parts.cells();
});
afterAll(() => baked?.dispose());

const start = (request: Partial<CellRequest> = {}, image = "shop/release"): Promise<Cell> => {
  const { entry, name, source } = readImage(baked.bakehouse.parts.store, image);
  return cells.start(
    { image: { digest: entry.digest, name }, source, purpose: "check", publish: [], files: {}, ...request },
    new AbortController().signal,
  );
};

/** Asks until something answers. */
async function answer(cell: Cell, url: string): Promise<{ readonly status: number; readonly body: string }> {
  for (const end = Date.now() + 60_000; ; await new Promise((go) => setTimeout(go, 50))) {
    const answered = await cell.http({ url, timeoutMs: 10_000 }).catch((error: unknown) => {
      if (Date.now() > end || !cell.isAlive()) throw error;
    });
    if (answered !== undefined && answered.status < 500) return answered;
  }
}

/** What a cell has outside of its own namespaces, by its id. */
const traces = (id: string): readonly string[] => [
  ...readdirSync("/sys/fs/cgroup").flatMap((hierarchy) => {
    const group = join("/sys/fs/cgroup", hierarchy, `bakehouse-cell-${id}`);
    return existsSync(group) ? [group] : [];
  }),
  ...readdirSync("/proc").flatMap((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(id) ? [`process ${pid}`] : [];
    } catch {
      return [];
    }
  }),
  ...(readFileSync("/proc/self/mountinfo", "utf8").includes(id) ? ["mount"] : []),
  ...(existsSync(baked.bakehouse.parts.store.path("cells", id)) ? ["folder"] : []),
];

describe("a cell", () => {
  let cell: Cell;
  beforeAll(async () => void (cell = await start()));
  afterAll(() => cell?.stop());

  it("boots with systemd and answers from beside", async () => {
    expect((await answer(cell, "http://shop.example/health")).body).toContain('"status": "ok"');
    expect(await cell.booted(60_000)).toBe("running");
    expect(cell.bootMs).toBeGreaterThan(0);
    expect(cell.state).toMatchObject({ status: "running", purpose: "check", address: "10.77.0.2" });
    expect([await cell.connect(80, 5000), await cell.connect(81, 5000)]).toEqual(["open", "refused"]);
  });

  it("runs programs, hands on their exit code, and ends what takes too long", async () => {
    expect(await cell.exec(["sh", "-c", "cat; echo err >&2; exit 3"], { timeoutMs: 20_000, stdin: "in" })).toEqual({
      code: 3,
      stdout: "in",
      stderr: "err\n",
      timedOut: false,
    });
    expect(await cell.exec(["sleep", "1000"], { timeoutMs: 300 })).toMatchObject({ timedOut: true });
    expect((await cell.exec(["pgrep", "-f", "sleep 1000"], { timeoutMs: 20_000 })).stdout).toBe("");
  });

  it("is found by name, id and the beginning of it, and else with a guess", () => {
    const { id, name } = cell.state;
    expect([id, id.slice(0, 4), name].map((reference) => cells.find(reference).state.id)).toEqual([id, id, id]);
    expect(() => cells.find(`${name.slice(0, -1)}x`)).toThrow(/No cell is called/);
  });

  it("has a journal, of all or of one unit", async () => {
    await cell.booted(60_000);
    expect((await cell.journal({ lines: 200 })).join("\n")).toContain("Started nginx.service");
    expect((await cell.journal({ unit: "nginx.service", lines: 5 })).length).toBeGreaterThan(0);
  });
});

describe("the trap", () => {
  it("records who tried to reach what, and refuses it; being asked from beside is none of it", async () => {
    const unit =
      "[Service]\nType=oneshot\nExecStart=/bin/bash -c 'curl -gsS http://home.example:8080/ http://192.0.2.1/ \"http://[2001:db8::1]/\"; echo x >/dev/udp/192.0.2.2/123'\n";
    const cell = await start({
      files: {
        "etc/systemd/system/phone.service": unit,
        "etc/systemd/system/multi-user.target.d/phone.conf": "[Unit]\nWants=phone.service\nAfter=phone.service\n",
      },
    });
    try {
      await answer(cell, "http://127.0.0.1/");
      await cell.booted(60_000);
      const attempts = await cell.egress();
      expect(attempts.map(({ protocol, target, port }) => [protocol, target, port])).toEqual([
        ["dns", "home.example", 53],
        ["tcp", "home.example", 8080],
        ["tcp", "192.0.2.1", 80],
        ["tcp", "2001:db8::1", 80],
        ["udp", "192.0.2.2", 123],
      ]);
      // who waits for an answer is still there to be looked at; who sends and leaves may be gone
      expect(attempts.slice(0, 4).map(({ unit: by }) => by)).toEqual(Array(4).fill("phone.service"));
      expect(cell.console()).toContain("phone.service");
    } finally {
      await cell.stop();
    }
  });

  it("lets the cell reach what this process serves, which is no egress", async () => {
    const server = createServer((_request, response) => response.end("payload"));
    const cell = await start({ serve: [{ port: 8999, onConnection: (socket) => void server.emit("connection", socket) }] });
    try {
      const fetched = await cell.exec(["curl", "-sS", "http://10.77.0.1:8999/"], { timeoutMs: 30_000 });
      expect(fetched).toMatchObject({ code: 0, stdout: "payload" });
      expect(await cell.egress()).toEqual([]);
    } finally {
      await cell.stop();
      server.closeAllConnections();
    }
  });
});

describe("what is left", () => {
  it("is nothing, with several at once", async () => {
    const several = await Promise.all(Array.from({ length: 6 }, () => start()));
    try {
      await Promise.all(several.map(async (cell) => expect((await answer(cell, "http://127.0.0.1/health")).status).toBe(200)));
    } finally {
      await Promise.all(several.map((cell) => cell.stop()));
    }
    expect(several.flatMap((cell) => traces(cell.state.id))).toEqual([]);
    expect(several.map((cell) => cell.isAlive())).toEqual(several.map(() => false));
  });

  it("is tidied by the next run after the owner of a check was killed", async () => {
    const script = join(baked.folder, "owner.ts");
    const source = join(import.meta.dirname, "../../..");
    writeFileSync(
      script,
      `import { createBakehouse } from "${source}/src/presets/create-bakehouse.ts";
import { readImage } from "${source}/src/engine/image-content.ts";
const { parts } = createBakehouse({ store: ${JSON.stringify(baked.bakehouse.parts.store.root)} });
const { entry, name, source } = readImage(parts.store, "shop/release");
const cell = await (await parts.cells()).start({ image: { digest: entry.digest, name }, source, purpose: "check", publish: [], files: {} }, new AbortController().signal);
process.stdout.write(cell.state.id + "\\n");
setInterval(() => undefined, 1000);`,
    );
    const owner = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    const id = await new Promise<string>((resolve) => owner.stdout.once("data", (line: Buffer) => resolve(line.toString().trim())));
    await cells.find(id).booted(60_000);
    owner.kill("SIGKILL");
    await expect.poll(() => cells.find(id).isAlive(), { timeout: 20_000 }).toBe(false);
    expect(cells.find(id).state.status).toBe("died");
    expect(await cells.tidy()).toContainEqual({ kind: "cell", id });
    expect(traces(id)).toEqual([]);
  });

  it("keeps what a cell of `run` showed when it dies by itself", async () => {
    const cell = await start({ purpose: "run", name: "short-lived" });
    await cell.booted(60_000);
    execFileSync("kill", ["-9", String(keeperPid(cell.state.id))]);
    await expect.poll(() => cell.isAlive(), { timeout: 20_000 }).toBe(false);
    expect(cell.state.status).toBe("died");
    expect(cell.console()).toContain("Welcome to Debian");
    await cells.tidy();
    expect(traces(cell.state.id)).toEqual(["folder"]);
    await cell.stop();
    expect(traces(cell.state.id)).toEqual([]);
  });
});

const keeperPid = (id: string): number => (baked.bakehouse.parts.store.readNote(`cells/${id}/keeper.json`) as { readonly pid: number }).pid;

describe("what is refused", () => {
  it("is an image without systemd, with what to do", async () => {
    const store = join(baked.folder, "tiny");
    copyTree(await tinyStore(), store);
    const { parts } = createBakehouse({ store });
    const { entry, name, source } = readImage(parts.store, "tiny/os");
    const tiny = await parts.cells();
    const image = { digest: entry.digest, name };
    await expect(tiny.start({ image, source, purpose: "check", publish: [], files: {} }, new AbortController().signal)).rejects.toThrow(
      "tiny/os has no systemd, so it cannot boot as a machine",
    );
    expect(tiny.list()).toEqual([]);
  });

  it.each([["Shop"], ["-x"], [""], ["a".repeat(61)]])("is %j as a name", async (name) => {
    await expect(start({ name })).rejects.toThrow("cannot be the name of a cell");
  });

  it("is a second cell of the same name, and a port in use", async () => {
    const cell = await start({ name: "one" });
    try {
      await expect(start({ name: "one" })).rejects.toThrow("There is a cell called one already");
    } finally {
      await cell.stop();
    }
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((go) => server.once("listening", go));
    const { port } = server.address() as { port: number };
    await expect(start({ purpose: "run", publish: [{ hostPort: port, cellPort: 80 }] })).rejects.toThrow(
      `Port ${port} of this machine is in use`,
    );
    server.close();
    expect(cells.list().filter(({ publish }) => publish.some(({ hostPort }) => hostPort === port))).toEqual([]);
  });
});

describe("a machine whose services do not end when they are told to", () => {
  it("is ended all the same", async () => {
    const unit =
      "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nTimeoutStopSec=infinity\nSendSIGHUP=no\nKillMode=process\n";
    const cell = await start({ purpose: "run", files: { "/etc/systemd/system/stubborn.service": unit } });
    const { id } = cell.state;
    expect(await cell.booted(60_000)).toBe("running");
    expect(await cell.exec(["systemctl", "start", "stubborn"], { timeoutMs: 20_000 })).toMatchObject({ code: 0 });
    await cell.stop();
    expect(cell.isAlive()).toBe(false);
    await expect.poll(() => traces(id), { timeout: 20_000 }).toEqual([]);
  }, 120_000);
});
