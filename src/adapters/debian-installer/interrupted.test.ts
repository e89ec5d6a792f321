import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { scratchFolder, removeScratch } from "../../../test/debian/image.ts";
import { debianPackages } from "../../../test/debian/packages.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { mmdebstrapInstaller, ownInstaller } from "./index.ts";

afterAll(removeScratch);

const NODE = process.execPath;

/** Processes that were started on behalf of a folder: its path is among their arguments, or they hold a file of it (also a deleted one). */
const processesOf = (folder: string): readonly string[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        const line = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
        const held = readdirSync(`/proc/${name}/fd`).map((fd) => readlinkSync(`/proc/${name}/fd/${fd}`));
        return [line, ...held].some((text) => text.includes(folder)) ? [line] : [];
      } catch {
        return []; // it has ended meanwhile
      }
    });

/** Where the installers may mount, or on behalf of a folder; other tests mount elsewhere. */
const mountsOf = (folder: string): readonly string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(folder) || / \/(mnt|media|srv|opt)[ /]/.test(line));

async function eventually(holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200 && !holds(); tries++) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(holds()).toBe(true);
}

describe.each([
  ["own", ownInstaller],
  ["mmdebstrap", mmdebstrapInstaller],
] as const)("the %s installer, interrupted", (name, make) => {
  test("by its signal, leaves no process and no mount", async () => {
    const folder = scratchFolder();
    const { set } = await debianPackages("bookworm", [], { workFolder: folder });
    const before = mountsOf(folder);
    const root = hostImageRoot(join(folder, "image"));
    mkdirSync(root.hostPath);
    const stop = new AbortController();
    const installing = make().install({
      suite: "bookworm",
      packages: set.files,
      root,
      sandbox: { run: () => Promise.reject(new Error("not reached")), check: () => Promise.reject(new Error("not reached")) },
      epochSeconds: 0,
      signal: stop.signal,
      log: () => undefined,
      progress: () => undefined,
    });
    setTimeout(() => stop.abort(), 300);
    await expect(installing).rejects.toMatchObject({ code: "CANCELLED" });
    expect(mountsOf(folder)).toEqual(before);
    await eventually(() => processesOf(folder).length === 0);
  }, 60_000);

  test("by kill -9 of this process, likewise", async () => {
    const folder = scratchFolder();
    const { set } = await debianPackages("bookworm", [], { workFolder: folder });
    const before = mountsOf(folder);
    const image = join(folder, "image");
    mkdirSync(image);
    const script = `
      const { ${make.name} } = await import(${JSON.stringify(join(import.meta.dirname, "index.ts"))});
      const { hostImageRoot } = await import(${JSON.stringify(join(import.meta.dirname, "../image-root/image-root.ts"))});
      const [image, ...files] = process.argv.slice(1);
      process.stdout.write("started\\n");
      await ${make.name}().install({ suite: "bookworm", packages: files.map((text) => JSON.parse(text)), root: hostImageRoot(image), sandbox: {}, epochSeconds: 0, signal: new AbortController().signal, log() {}, progress() {} });`;
    const child = spawn(NODE, ["--input-type=module", "-e", script, image, ...set.files.map((file) => JSON.stringify(file))], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, name === "own" ? 400 : 1500));
    child.kill("SIGKILL");
    await once(child, "exit");
    await eventually(() => processesOf(folder).length === 0);
    expect(mountsOf(folder)).toEqual(before);
  }, 60_000);
});
