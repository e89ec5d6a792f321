import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bakeExample, type BakedExample } from "../../../test/cells/bake-example.ts";
import { builtCli } from "../../../test/shared-store.ts";
import { collectGarbage } from "../../engine/collect-garbage.ts";
import { openImages } from "../../presets/images.ts";
import { parseFiles, parsePublish } from "./arguments.ts";
import { freePort } from "../../adapters/local-host/free-port.ts";

const IMAGE = "shop/release";
let baked: BakedExample;
let cli: string;
beforeAll(async () => {
  baked = await bakeExample("examples/shop", { apart: true });
  cli = await builtCli();
});
afterAll(async () => {
  expect((await baked.bakehouse.parts.cells()).list().map(({ name }) => name)).toEqual([]);
  await baked?.dispose();
});

interface Ran {
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

const started = (...words: readonly string[]): ChildProcess =>
  spawn(process.execPath, [cli, "--store", baked.bakehouse.parts.store.root, ...words], {
    cwd: baked.folder,
    stdio: ["ignore", "pipe", "pipe"],
  });

async function bakehouse(...words: readonly string[]): Promise<Ran> {
  const child = started(...words);
  const [[code, signal], out, err] = await Promise.all([
    once(child, "close") as Promise<[number | null, string | null]>,
    text(child.stdout!),
    text(child.stderr!),
  ]);
  return { code: code ?? signal ?? "", out, err };
}

describe("bakehouse run", () => {
  it("starts a cell that outlives it, is listed, can be asked, and is stopped", async () => {
    const port = await freePort();
    const ran = await bakehouse("run", IMAGE, "--name", "blue", "--publish", `${port}:80`, "--file", "/etc/colour=blue sky");
    expect(ran).toMatchObject({ code: 0, out: expect.stringContaining(`http://127.0.0.1:${port}/ → its port 80`) });
    // systemd calls the service started before it listens
    await expect.poll(async () => (await fetch(`http://127.0.0.1:${port}/health`)).status, { timeout: 60_000 }).toBe(200);
    expect(await (await fetch(`http://127.0.0.1:${port}/health`)).json()).toMatchObject({ status: "ok" });

    const { cells } = JSON.parse((await bakehouse("ps", "--json")).out) as { cells: unknown[] };
    expect(cells).toMatchObject([{ name: "blue", status: "running", image: { name: IMAGE }, publish: [{ hostPort: port, cellPort: 80 }] }]);
    expect((await bakehouse("ps")).out).toMatch(new RegExp(`blue .*running +${port}→80`));

    expect(await bakehouse("exec", "blue", "--", "cat", "/etc/colour")).toEqual({ code: 0, out: "blue sky", err: "" });
    expect(await bakehouse("exec", "blue", "--", "sh", "-c", "exit 7")).toMatchObject({ code: 7 });
    expect(JSON.parse((await bakehouse("exec", "blue", "--json", "--", "echo", "hi")).out)).toMatchObject({ code: 0, stdout: "hi\n" });
    expect((await bakehouse("shell", "blue", "--", "hostname")).code).toBe(0);
    expect((await bakehouse("logs", "blue", "--unit", "nginx.service")).out).toContain("Started nginx.service");
    expect(await bakehouse("logs", "blue", "--unit", "no.service")).toMatchObject({
      code: 0,
      out: "",
      err: expect.stringContaining("blue has printed nothing as no.service"),
    });

    expect(await bakehouse("exec", "blu", "--", "true")).toMatchObject({ code: 0 });
    expect(await bakehouse("exec", "bleu", "--", "true")).toMatchObject({ code: 2, err: expect.stringContaining("did you mean blue?") });
    expect((await bakehouse("run", IMAGE, "--name", "blue")).err).toContain("There is a cell called blue already");
    expect((await bakehouse("run", IMAGE, "--publish", `${port}:80`)).err).toContain(`Port ${port} of this machine is in use`);

    expect(await bakehouse("stop", "blue")).toEqual({ code: 0, out: "Stopped: blue\n", err: "" });
    expect((await bakehouse("ps")).out).toBe("No cell runs.\n");
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow("fetch failed");
  }, 300_000);

  it("tells gc what it stands on", async () => {
    await bakehouse("run", IMAGE, "--name", "keeper");
    const images = openImages({ store: baked.bakehouse.parts.store.root });
    try {
      const report = await collectGarbage(
        {
          store: images.store,
          contents: await images.contents(),
          mounts: await images.mounts(),
          cells: await images.cells(),
          clock: images.clock,
          catalog: images.catalog,
        },
        { apply: false, keep: 1, recentMs: 0, packagesOlderThanMs: 1e12, packages: false, signal: new AbortController().signal },
      );
      expect(report.items.find(({ kind }) => kind === "cell")).toMatchObject({ name: "keeper", keep: true, why: `runs ${IMAGE}` });
    } finally {
      await images.close();
      await bakehouse("stop", "--all", "--now");
    }
  }, 300_000);

  it("shows the journal in the foreground and ends the cell with Ctrl-C", async () => {
    const child = started("run", IMAGE, "--name", "front", "--foreground");
    const err = text(child.stderr!);
    await new Promise<void>((resolve) => child.stdout!.on("data", (chunk: Buffer) => chunk.includes("nginx") && resolve()));
    child.kill("SIGINT");
    await once(child, "close");
    expect(await err).toContain("front runs shop/release; Ctrl-C ends it.");
    expect((await bakehouse("ps")).out).toBe("No cell runs.\n");
  }, 300_000);

  it("in the foreground takes the cell with it when it is killed", async () => {
    const child = started("run", IMAGE, "--name", "fragile", "--foreground");
    await new Promise<void>((resolve) => child.stdout!.once("data", () => resolve()));
    child.kill("SIGKILL");
    await once(child, "close");
    await expect.poll(async () => (await bakehouse("ps")).out, { timeout: 60_000, interval: 500 }).toMatch(/fragile.*died/);
    expect((await bakehouse("stop", "--all")).out).toBe("Stopped: fragile\n");
  }, 300_000);

  it("says what an image showed that dies while it boots, and keeps it", async () => {
    const unit = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/systemctl poweroff --force --force";
    const ran = await bakehouse(
      ...["run", IMAGE, "--name", "doomed", "--file", `/etc/systemd/system/doom.service=${unit}`],
      ...["--file", "/etc/systemd/system/sysinit.target.d/doom.conf=[Unit]\nWants=doom.service"],
    );
    expect(ran).toMatchObject({ code: 1, err: expect.stringContaining("Cell doomed ended while it booted. The last that it showed:") });
    expect((await bakehouse("logs", "doomed")).out).toContain("Welcome to Debian");
    expect((await bakehouse("ps")).out).toMatch(/doomed.*died/);
    await bakehouse("stop", "doomed");
  }, 300_000);

  it("leaves nothing when it is stopped before the cell has booted", async () => {
    const unit = "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000";
    const child = started(
      ...["run", IMAGE, "--name", "slow", "--file", `/etc/systemd/system/slow.service=${unit}`],
      ...["--file", "/etc/systemd/system/multi-user.target.d/slow.conf=[Unit]\nWants=slow.service\nAfter=slow.service"],
    );
    const err = text(child.stderr!);
    const cells = await baked.bakehouse.parts.cells();
    await expect.poll(() => cells.list().some(({ name }) => name === "slow"), { timeout: 60_000 }).toBe(true);
    child.kill("SIGTERM");
    expect(await once(child, "close")).toEqual([130, null]);
    expect(await err).toContain("CANCELLED");
    expect(cells.list()).toEqual([]);
  }, 300_000);
});

describe("what is typed wrong", () => {
  it.each([["80:"], ["0:80"], ["8080:70000"], ["web"], ["127.0.0.1:80:80"]])("--publish %s", (given) => {
    expect(() => parsePublish([given])).toThrow("--publish takes two ports from 1 to 65535");
  });

  it("--publish twice", () => {
    expect(parsePublish(["8080:80", "81"])).toEqual([
      { hostPort: 8080, cellPort: 80 },
      { hostPort: 81, cellPort: 81 },
    ]);
    expect(() => parsePublish(["81:1", "81:2"])).toThrow("names port 81 of this machine twice");
  });

  it.each([["etc/x=1"], ["/etc/x"], ["/etc/../../x=1"]])("--file %s", (given) => {
    expect(() => parseFiles([given], "/")).toThrow("--file takes an absolute path and a content");
  });

  it("a file that is not there", () => {
    expect(() => parseFiles(["/etc/x=@missing"], "/nowhere")).toThrow("/nowhere/missing");
    expect(parseFiles(["/etc/x=a=b"], "/")).toEqual({ "/etc/x": "a=b" });
  });
});
