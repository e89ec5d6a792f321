import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, inject, it } from "vitest";
import type { CakeComparison, CakeFigures } from "../src/core/cakes/comparison.ts";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";
import { builtCli } from "../test/shared-store.ts";

let baked: BakedExample;
beforeAll(async () => void (baked = await bakeExample("examples/three-cakes/baked.yaml"))); // its folder has the other two as well
afterAll(() => baked?.dispose());

async function compare(
  folder: string,
  ...options: readonly string[]
): Promise<{ readonly figures: readonly CakeFigures[]; readonly pid: number | undefined }> {
  const ran = spawn(
    process.execPath,
    [
      await builtCli(),
      ...["--store", baked.bakehouse.parts.store.root, "compare-cakes", folder, "--json"],
      ...["--runs", "1", "--path", "/health", "--report", join(folder, "cakes.html"), ...options],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const [[code], stdout, stderr] = await Promise.all([once(ran, "close"), text(ran.stdout), text(ran.stderr)]);
  expect(code, stderr).toBe(0);
  return { ...(JSON.parse(stdout) as CakeComparison), pid: ran.pid };
}

it("compare-cakes measures each cake, and with a mirror that breaks off only those that need it fail", async () => {
  const { figures } = await compare(baked.folder, "--as", "cell", "--broken-mirror");
  expect(figures.map(({ cake, mirror, failures }) => [cake, mirror.kind, failures])).toEqual([
    ["baked", "good", 0],
    ["software", "good", 0],
    ["boot", "good", 0],
    ["baked", "broken", 0],
    ["software", "broken", 0],
    ["boot", "broken", 1],
  ]);
  const fetched = Object.fromEntries(figures.slice(0, 3).map(({ cake, fetchedBytes }) => [cake, fetchedBytes]));
  expect(fetched["baked"]).toBe(0);
  expect(fetched["software"]).toBeGreaterThan(0);
  expect(fetched["boot"]).toBeGreaterThan(1_000_000);
  expect(figures.at(-1)?.runs[0]?.failure).toContain("does not answer");
  expect(readFileSync(join(baked.folder, "cakes.html"), "utf8")).toContain("never ready");
  expect((await baked.bakehouse.parts.cells()).list()).toEqual([]);
}, 900_000);

/** The cake that needs cloud-init, the launch script and the server, and no minutes of dpkg on an emulated processor. */
it("launches them as virtual machines, which fetch from what they are served", async () => {
  const folder = mkdtempSync(join(inject("runFolder"), "one-cake-"));
  cpSync(baked.folder, folder, { recursive: true, filter: (path) => !/(baked|boot)\.yaml$/.test(path) });
  const { figures, pid } = await compare(folder, "--as", "vm");
  expect(figures).toMatchObject([{ cake: "software", platform: "vm", failures: 0, runs: [{ readyMs: expect.any(Number) as number }] }]);
  expect(figures[0]?.fetchedBytes).toBeGreaterThan(0);
  expect(readFileSync(join(folder, "cakes.html"), "utf8")).toContain("As a virtual machine");
  expect(readdirSync(baked.bakehouse.parts.store.path("work")).filter((name) => name.startsWith(`machine-${pid}-`))).toEqual([]);
  rmSync(folder, { recursive: true });
}, 900_000);

it("says so when a folder has no cakes", async () => {
  const empty = mkdtempSync(join(inject("runFolder"), "no-cakes-"));
  const ran = spawnSync(process.execPath, [await builtCli(), "--store", join(empty, "store"), "compare-cakes", empty], {
    encoding: "utf8",
  });
  expect(ran).toMatchObject({ status: 2, stderr: expect.stringContaining("has no recipe that names a cake") });
  rmSync(empty, { recursive: true, force: true });
});
