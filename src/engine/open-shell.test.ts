import { readdirSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixtureStore, leftovers, put, putShell, type FixtureStore } from "../../test/image-store.ts";
import type { ImageDigest } from "../core/digest.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { openShell, type ShellOptions, type ShellResult } from "./open-shell.ts";

let fixture: FixtureStore;
let images: ImageParts;
let base: ImageDigest;

beforeAll(async () => {
  fixture = fixtureStore();
  base = await fixture.bake({ name: "shop/base", steps: [{ address: "base/copy", change: putShell }] });
  await fixture.bakeVolume({
    name: "shop/site",
    root: base,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "hello\n" }),
  });
  images = openImages({ store: fixture.store.root });
});

afterAll(async () => {
  await images.close();
  expect(leftovers(fixture.folder)).toEqual([]);
  expect(readdirSync(fixture.store.path("work"))).toEqual([]);
  fixture.remove();
});

/** Runs it with its output caught instead of on the terminal of the tests. */
async function run(options: Partial<ShellOptions>): Promise<ShellResult & { readonly output: string }> {
  const output = new PassThrough();
  const chunks: Buffer[] = [];
  output.on("data", (chunk: Buffer) => chunks.push(chunk));
  const shells = await images.shells();
  const result = await openShell(
    {
      ...shells,
      runInteractive: ([program = "", ...words]) =>
        new Promise((resolve, reject) => {
          const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
          child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
          child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
          child.on("error", reject);
          child.on("close", (code) => resolve({ exitCode: code ?? 1 }));
        }),
    },
    {
      failed: false,
      command: [],
      network: "none",
      runner: "bubblewrap",
      signal: new AbortController().signal,
      onOpen: () => undefined,
      ...options,
    },
  );
  return { ...result, output: Buffer.concat(chunks).toString() };
}

describe("a shell", () => {
  it("runs a command in an image and passes its exit code on; changes are thrown away", async () => {
    const first = await run({
      image: "shop/base",
      command: ["/bin/sh", "-c", "read line < /etc/os-release; echo $line; echo changed > /etc/os-release; exit 7"],
    });
    expect(first).toMatchObject({ exitCode: 7, output: "ID=test\n", discarded: true, what: "image" });
    expect((await run({ image: base, command: ["/bin/sh", "-c", "read line < /etc/os-release; echo $line"] })).output).toBe("ID=test\n");
  });

  it("starts the shell that the image has", async () => {
    expect(await run({ image: "shop", command: [] })).toMatchObject({ exitCode: 0 });
  });

  it("has a release volume at its path", async () => {
    const { output, what } = await run({
      image: "shop/site",
      command: ["/bin/sh", "-c", "read line < /srv/site/index.html; echo $line; echo x > /srv/site/y || echo read-only"],
    });
    expect(output).toMatch(/^hello\n/);
    expect(output).toMatch(/^read-only$/m);
    expect(what).toBe("volume");
  });

  it("has no network unless asked", async () => {
    const { output } = await run({
      image: "shop/base",
      command: ["/bin/sh", "-c", "while read line; do echo $line; done < /proc/net/dev"],
    });
    expect(output.match(/^\S+:/gm)).toEqual(["lo:"]);
  });

  it("opens what a failed step left, and keeps it", async () => {
    const bake = "20260101-000000-abcdef";
    const folder = join(fixture.store.workFolder(bake), "base-run");
    put(join(folder, "upper"), { "half-done": "yes\n" });
    fixture.store.keepWorkFolder(bake, { folder, address: "base/run", lowers: fixture.diffsOf(base), recipe: "/x/bakehouse.yaml" });
    const script = ["/bin/sh", "-c", "read line < /half-done; echo $line; echo more > /second"];
    expect(await run({ failed: true, command: script })).toMatchObject({
      output: "yes\n",
      exitCode: 0,
      what: "failed step",
      discarded: false,
    });
    expect((await run({ failed: true, image: "20260101", command: ["/bin/sh", "-c", "read line < /second; echo $line"] })).output).toBe(
      "more\n",
    );
    await expect(run({ failed: true, image: "20250101" })).rejects.toMatchObject({
      code: "BAKE_NOT_FOUND",
      message: expect.stringContaining(bake),
    });
    fixture.store.releaseWorkFolder(bake);
    await expect(run({ failed: true })).rejects.toMatchObject({ code: "BAKE_NOT_FOUND" });
  });

  it("says what is wrong with an image that has none, or that is not there", async () => {
    await fixture.bake({ name: "data/only", steps: [{ address: "only/copy", change: (upper) => put(upper, { file: "x" }) }] });
    await expect(run({ image: "data/only" })).rejects.toMatchObject({ code: "INPUT_INVALID" });
    await expect(run({ image: "shop/nothing" })).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
    await expect(run({})).rejects.toMatchObject({ code: "USAGE" });
  });
});
