import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import type { CheckRun } from "../../src/core/checks/verdict.ts";
import type { Cells } from "../../src/ports/cells.ts";
import { PREDICATES } from "../../src/core/papers/statement.ts";
import type { Bakehouse } from "../../src/presets/create-bakehouse.ts";
import { bakeExample, type BakedExample } from "../cells/bake-example.ts";
import { builtCli } from "../shared-store.ts";
import { spawn, execFileSync } from "node:child_process";

/**
 * Images that have something wrong with them, on top of the three cakes' release: each layer changes one thing, and the checks
 * are those of a careful recipe.
 */
const RECIPE = `name: luck
layers:
  good:
    from: image:three-cakes-baked/release
    steps: [run: "true"]
    checks:
      - http: /
        retries: 100
      - service: { units: [nginx.service], settle: 300ms }
      - hygiene:
      - no-egress:
      - no-failed-units:
  dies-later:
    from: good
    steps:
      - systemd: { units: [system/dies.service], enable: [dies.service] }
    checks:
      - service: { units: [dies.service], settle: 5s }
        name: dies
  powers-off:
    from: good
    steps:
      - systemd: { units: [system/off.service], enable: [off.service] }
    checks:
      - command: sleep 1000
        timeout: 5m
  never-up:
    from: good
    steps:
      - run: printf '#!/bin/sh\\nexit 1\\n' > /usr/lib/systemd/systemd
  without-init:
    from: good
    steps:
      - run: rm -f /usr/lib/systemd/systemd /usr/sbin/init
  leaks:
    from: good
    steps:
      - copy: { from: key, to: /srv/key }
  phones:
    from: good
    steps:
      - systemd: { units: [system/phones.service], enable: [phones.service] }
  hangs:
    from: good
    steps: [run: "true"]
    checks:
      - command: sleep 1000
        name: hang
        timeout: 1s
      - command: no-such-tool --version
        name: tool
`;

const unit = (lines: string): string => `[Service]\n${lines}\n[Install]\nWantedBy=multi-user.target\n`;

let example: BakedExample;
let folder: string;
let bakehouse: Bakehouse;
beforeAll(async () => {
  example = await bakeExample("examples/three-cakes/baked.yaml");
  ({ bakehouse } = example);
  folder = mkdtempSync(join(inject("runFolder"), "luck-"));
  cpSync(example.folder, folder, { recursive: true });
  const write = (path: string, content: string): void => {
    execFileSync("mkdir", ["-p", dirname(join(folder, path))]);
    writeFileSync(join(folder, path), content);
  };
  write("bakehouse.yaml", RECIPE);
  write("system/dies.service", unit("ExecStart=/bin/sleep 3"));
  write("system/off.service", `[Unit]\nSuccessAction=exit-force\n${unit("ExecStart=/bin/sleep 2")}`);
  write("system/phones.service", unit("Type=oneshot\nExecStart=-/bin/bash -c 'exec 3<>/dev/tcp/192.0.2.7/443'"));
  // the right words around the wrong bytes, in parts
  write("key/deploy", `-----BEGIN OPENSSH PRIVATE ${"KEY-----"}\n${"QmFrZWhvdXNl".repeat(6)}\n-----END OPENSSH PRIVATE ${"KEY-----"}\n`);
  const loaded = bakehouse.load(folder);
  await bakehouse.lock(loaded);
  await bakehouse.bake(loaded);
});
afterAll(async () => {
  await example?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const verdictsOf = (run: CheckRun): Readonly<Record<string, string>> =>
  Object.fromEntries(run.results.map(({ name, verdict }) => [name, verdict]));
/** Cells of the images here; the store is shared with other tests. */
const ours = (cells: Cells): readonly unknown[] => cells.list().filter(({ image }) => image.name.startsWith("luck/"));
const noCells = async (): Promise<readonly unknown[]> => ours(await bakehouse.parts.cells());

/** What a killed process had takes a moment to be gone. */
async function untilNoCells(): Promise<void> {
  const cells = await bakehouse.parts.cells();
  await vi.waitFor(
    async () => {
      await cells.tidy();
      expect(ours(cells)).toEqual([]);
    },
    { timeout: 60_000, interval: 100 },
  );
}

describe("an image", () => {
  test("that is good passes, and the paper says what was asked and answered", async () => {
    const run = await bakehouse.check("luck/good");
    expect(verdictsOf(run)).toEqual({
      boot: "passed",
      http: "passed",
      service: "passed",
      hygiene: "passed",
      "no-egress": "passed",
      "no-failed-units": "passed",
    });
    const [paper] = bakehouse.parts.papers.of(run.image, PREDICATES.checks);
    expect(paper?.digest).toBe(run.evidence);
    const read = paper && bakehouse.parts.papers.read<CheckRun>(paper);
    expect(read).toMatchObject({ trust: "signed", statement: { predicate: { image: run.image, verdict: "passed", platform: "cell" } } });
    expect(read?.statement?.predicate.results.find(({ name }) => name === "http")).toMatchObject({
      asked: { options: "/", retries: 100 },
      answered: { status: 200 },
    });
    expect(await noCells()).toEqual([]);
  });

  test("that boots and dies after three seconds fails", async () => {
    expect(verdictsOf(await bakehouse.check("luck/dies-later"))).toMatchObject({ boot: "passed", dies: "failed", http: "passed" });
  });

  test("that switches itself off while it is checked fails", async () => {
    const run = await bakehouse.check("luck/powers-off");
    expect(run.verdict).toBe("failed");
    expect(verdictsOf(run)).toMatchObject({ boot: "failed", hygiene: "passed" });
    expect(await noCells()).toEqual([]);
  });

  test("that never comes up fails, and each of its checks does", async () => {
    const run = await bakehouse.check("luck/never-up");
    expect(verdictsOf(run)).toMatchObject({ boot: "failed", http: "failed", "no-egress": "failed", hygiene: "passed" });
    expect(await noCells()).toEqual([]);
  });

  test("without an init fails, and says what it lacks", async () => {
    const run = await bakehouse.check("luck/without-init");
    expect(run.results[0]).toMatchObject({
      name: "boot",
      verdict: "failed",
      summary: "the image cannot boot: it has no systemd",
    });
  });

  test("with a private key fails, and names the file", async () => {
    const run = await bakehouse.check("luck/leaks", { only: ["hygiene"] });
    expect(run).toMatchObject({ verdict: "failed", platform: "tree", only: ["hygiene"] });
    expect(run.results[0]?.excerpt.join()).toContain("private-key: /srv/key/deploy");
  });

  test("that tries to reach the outside fails, and says who tried what", async () => {
    const run = await bakehouse.check("luck/phones", { only: ["no-egress"] });
    expect(run.results.find(({ name }) => name === "no-egress")).toMatchObject({ verdict: "failed" });
    expect(JSON.stringify(run.results)).toContain("192.0.2.7");
  });

  test("whose checks hang or lack a tool gave no answer", async () => {
    const run = await bakehouse.check("luck/hangs");
    expect(run.verdict).toBe("error");
    expect(verdictsOf(run)).toMatchObject({ hang: "error", tool: "error", http: "passed" });
  });

  test("of another architecture gives no answer about its start, and is looked through all the same", async () => {
    const { store } = bakehouse.parts;
    const entry = store.images.entries().find(({ annotations }) => annotations["org.opencontainers.image.ref.name"] === "luck/good");
    if (entry === undefined) throw new Error("not baked");
    const manifest = store.images.manifest(entry.digest);
    const config = store.blobs.putJson({ ...store.images.config(entry.digest), architecture: "arm64" });
    const stored = store.blobs.putJson({ ...manifest, config: { ...manifest.config, digest: config.digest, size: config.sizeBytes } });
    const annotations = { ...entry.annotations, "org.opencontainers.image.ref.name": "luck/other" };
    await store.images.put([{ ...entry, digest: stored.digest, size: stored.sizeBytes, annotations }]);
    const run = await bakehouse.check("luck/other", { only: ["no-failed-units", "hygiene"] });
    expect(verdictsOf(run)).toEqual({ boot: "error", "no-failed-units": "error", hygiene: "passed" });
    expect(run.results[0]?.summary).toBe("the image is for arm64, this machine is amd64");
  });

  test("that promises nothing is undecided", async () => {
    const run = await bakehouse.check("three-cakes-baked/foundation");
    expect(run).toMatchObject({ verdict: "inconclusive", results: [] });
  });

  test("is not asked what does not exist", async () => {
    await expect(bakehouse.check("luck/good", { only: ["htpp"] })).rejects.toMatchObject({
      code: "USAGE",
      help: { hint: 'did you mean "http"?' },
    });
    await expect(bakehouse.check("luck/good", { only: ["tcp"] })).rejects.toMatchObject({ code: "USAGE" });
    await expect(bakehouse.check("luck/nothing")).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
  });
});

test("a promise changes without the image: the newest holds, also when it is an earlier one again", async () => {
  const digest = () =>
    bakehouse.parts.store.images.entries().find(({ annotations }) => annotations["org.opencontainers.image.ref.name"] === "luck/leaks")
      ?.digest;
  const before = digest();
  const bakeWith = async (text: string): Promise<readonly string[]> => {
    writeFileSync(join(folder, "bakehouse.yaml"), text);
    await bakehouse.bake(bakehouse.load(folder));
    const run = await bakehouse.check("luck/leaks", { only: ["hygiene"] });
    return run.results.map(({ verdict }) => verdict);
  };
  expect(await bakeWith(RECIPE.replace("- hygiene:", "- hygiene: { except: [/srv/key/*] }"))).toEqual(["passed"]);
  expect(await bakeWith(RECIPE)).toEqual(["failed"]);
  expect(digest()).toBe(before);
});

describe("a self-test", () => {
  test("shows that checks find the fault, and is written down", async () => {
    const outcome = await bakehouse.selfTest("luck/good", ["http", "tcp", "no-egress", "hygiene", "script", "log-absent"]);
    expect(outcome.tested.filter(({ trusted }) => !trusted)).toEqual([]);
    expect(outcome.tested).toHaveLength(6);
    const [paper] = bakehouse.parts.papers.of(outcome.image, PREDICATES.selfTest);
    expect(paper?.annotations["dev.bakehouse.checks.trusted"]).toBe("http@1,tcp@1,no-egress@1,hygiene@1,script@1,log-absent@2");
    expect(await noCells()).toEqual([]);
  });

  test("of a type that does not exist is refused", async () => {
    await expect(bakehouse.selfTest("luck/good", ["htpp"])).rejects.toMatchObject({ code: "USAGE" });
  });
});

describe("the command", () => {
  const cli = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const child = spawn(process.execPath, [await builtCli(), "--store", bakehouse.parts.store.root, ...args], {
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const out: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.resume();
    const ended = new Promise<{ code: number | string; stdout: string }>((resolve) =>
      child.on("close", (code, signal) => resolve({ code: signal ?? code ?? -1, stdout: Buffer.concat(out).toString() })),
    );
    return { child, ended, out };
  };
  const evidence = () => {
    const entry = bakehouse.parts.store.images
      .entries()
      .find(({ annotations }) => annotations["org.opencontainers.image.ref.name"] === "luck/good");
    return entry === undefined ? [] : bakehouse.parts.papers.of(entry.digest, PREDICATES.checks);
  };

  test("ends with 6 for what is not good, and with 0 for what is", async () => {
    expect((await (await cli(["check", "luck/leaks", "--check", "hygiene"])).ended).code).toBe(6);
    const good = await (await cli(["check", "luck/good", "--check", "http", "--json"])).ended;
    expect(good.code).toBe(0);
    expect(JSON.parse(good.stdout)).toMatchObject({ verdict: "passed", name: "luck/good", results: [{ name: "boot" }, { name: "http" }] });
  });

  test.each(["check-cell-started", "check-answered", "check-attached"])(
    "killed at %s leaves no cell, and whole evidence or none",
    async (point) => {
      const before = evidence().length;
      const killed = await (await cli(["check", "luck/good", "--check", "http"], { BAKEHOUSE_CRASH_AT: point })).ended;
      expect(killed.code).toBe("SIGKILL");
      expect(evidence()).toHaveLength(before + (point === "check-attached" ? 1 : 0));
      for (const paper of evidence()) expect(bakehouse.parts.papers.read(paper).trust).toBe("signed");
      await untilNoCells();
      expect((await (await cli(["check", "luck/good", "--check", "http"])).ended).code).toBe(0);
    },
  );

  test("stopped by Ctrl-C leaves neither cell nor evidence", async () => {
    const before = evidence().length;
    const { child, ended, out } = await cli(["check", "luck/hangs", "--events"]);
    while (!Buffer.concat(out).toString().includes('"check":"hang"')) await new Promise((go) => setTimeout(go, 20));
    child.kill("SIGINT");
    expect((await ended).code).toBe(130);
    expect(evidence()).toHaveLength(before);
    await untilNoCells();
  });

  test("--keep leaves the machine, which is found by the name that it says", async () => {
    const { code, stdout } = await (await cli(["check", "luck/good", "--check", "http", "--keep", "--json"])).ended;
    expect(code).toBe(0);
    const { cell } = JSON.parse(stdout) as { readonly cell: string };
    const kept = (await bakehouse.parts.cells()).find(cell);
    expect(kept.isAlive()).toBe(true);
    await kept.stop();
    expect(await noCells()).toEqual([]);
  });
});
