import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dpkgStatus, fixtureStore, leftovers, put, putShell, type FixtureStore } from "../../../test/image-store.ts";
import { recordingStreams } from "../../../test/recording-streams.ts";
import type { ImageDigest } from "../../core/digest.ts";
import { main } from "../main.ts";

let fixture: FixtureStore;
let scratch: string;
let base: ImageDigest, release: ImageDigest;

beforeAll(async () => {
  fixture = fixtureStore();
  scratch = mkdtempSync(join(tmpdir(), "bakehouse-commands-"));
  base = await fixture.bake({
    name: "shop/base",
    steps: [
      {
        address: "base/debian",
        change: (upper) => {
          putShell(upper);
          put(upper, { "var/lib/dpkg/status": dpkgStatus({ bash: "5.2" }) });
        },
      },
    ],
  });
  for (const version of ["1", "2"])
    release = await fixture.bake({
      name: "shop/release",
      parent: base,
      hermetic: false,
      steps: [{ address: "release/copy", change: (upper) => put(upper, { "srv/app/version": version, "srv/app/\u001b[31mred": "x" }) }],
    });
  await fixture.bakeVolume({
    name: "shop/site",
    root: base,
    path: "/srv/site",
    change: (directory) => put(directory, { "index.html": "hi\n" }),
  });
});

afterAll(() => {
  expect(leftovers(fixture.folder)).toEqual([]);
  fixture.remove();
  rmSync(scratch, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function bakehouse(words: readonly string[], options: { readonly columns?: number; readonly store?: string } = {}): Promise<Ran> {
  const { streams, text } = recordingStreams({
    ...(options.columns === undefined ? {} : { isTTY: true, columns: options.columns, env: { TERM: "dumb" } }),
  });
  const code = await main(["--store", options.store ?? fixture.store.root, ...words], { streams, folder: scratch });
  return { code, ...text };
}

const json = async (words: readonly string[]): Promise<unknown> => {
  const { code, out, err } = await bakehouse([...words, "--json"]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out) as unknown;
};

describe("commands about images", () => {
  it("list, marking what is not hermetic", async () => {
    const { out } = await bakehouse(["images"]);
    const lines = out.trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines.find((line) => line.includes("shop/release"))).toMatch(/image .*NOT HERMETIC$/);
    expect(lines.find((line) => line.includes("shop/site"))).toMatch(/volume .* yes$/);
    expect((await bakehouse(["images", "--all"])).out).toContain("shop/release (older)");
    expect(await json(["images"])).toMatchObject({
      images: [{ name: "shop/site" }, { name: "shop/release", hermetic: false, digest: release }, { name: "shop/base" }],
    });
  });

  it.each([
    ["images"],
    ["image", "show", "shop"],
    ["image", "history", "shop"],
    ["image", "tree"],
    ["image", "diff", "shop/base", "shop"],
    ["gc"],
    ["bakes"],
  ])("fit a narrow terminal: %s", async (...words) => {
    const { out, code } = await bakehouse(words, { columns: 60 });
    expect(code).toBe(0);
    if (words[1] !== "show")
      for (const line of out.split("\n")) expect(line.replaceAll(/\u001b\[[0-9;]*m/g, "").length).toBeLessThanOrEqual(60);
  });

  it("show lineage, history and tree", async () => {
    const { out } = await bakehouse(["image", "show", "shop/release"]);
    expect(out).toMatch(/NOT HERMETIC/);
    expect(out).toMatch(new RegExp(`lineage +shop/base ${base.slice(7, 19)}\n +shop/release`));
    expect((await bakehouse(["image", "history", "shop/site"])).out).toMatch(/site\/volume.*mounted at \/srv\/site/);
    expect((await bakehouse(["image", "tree", "--all"])).out).toMatch(
      /^shop\/base .*\n├─ shop\/release .*NOT HERMETIC\n├─ shop\/release .*\n└─ shop\/site .* volume\n$/,
    );
    expect(await json(["image", "show", "shop/site"])).toMatchObject({ kind: "volume", volume: { path: "/srv/site" } });
  });

  it("list files as ls does, with escape codes in names made visible", async () => {
    const { out } = await bakehouse(["image", "files", "shop", "/srv/app"]);
    expect(out).toMatch(/^drwxr-xr-x 0:0 +0 2023-11-14 \/srv\/app\n/);
    expect(out).toContain("/srv/app/\\x1b[31mred");
    expect(await json(["image", "files", "shop", "/srv/app/version"])).toMatchObject({
      files: [{ path: "/srv/app/version", sizeBytes: 1, kind: "file" }],
    });
  });

  it("compare two images", async () => {
    const { out } = await bakehouse(["image", "diff", "shop/base", "shop/release"]);
    expect(out).toMatch(/Files: \d+ added, 0 removed/);
    expect(out).toContain("hermetic: true → false");
    expect((await bakehouse(["image", "diff", "shop", "shop"])).out).toContain("Nothing differs.");
  });

  it("mount and unmount", async () => {
    expect((await bakehouse(["image", "mount", "shop/site", "here"])).out).toContain("is mounted read-only at");
    expect(readFileSync(join(scratch, "here/srv/site/index.html"), "utf8")).toBe("hi\n");
    expect((await bakehouse(["image", "mount"])).out).toMatch(/here +shop\/site/);
    expect((await bakehouse(["gc"])).out).toMatch(/mount +shop\/site .*mounted at .*here/);
    expect((await bakehouse(["image", "unmount", "here"])).code).toBe(0);
    expect(existsSync(join(scratch, "here"))).toBe(false);
    expect((await bakehouse(["image", "unmount"])).code).toBe(2);
  });

  it("run a command in an image, pass its exit code on, and say nothing of their own", async () => {
    const ran = await bakehouse(["shell", "shop/base", "--", "/bin/sh", "-c", "exit 5"]);
    expect(ran).toEqual({ code: 5, out: "", err: "" });
    expect(await bakehouse(["shell", "--failed", "--", "/bin/sh"])).toMatchObject({
      code: 2,
      err: expect.stringContaining("BAKE_NOT_FOUND"),
    });
  });

  it("export and import", async () => {
    const { out, code } = await bakehouse(["export", "shop/release", "--format", "oci", "--output", "copy.oci.tar"]);
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining("copy.oci.tar") });
    const other = join(scratch, "other-store");
    expect(await bakehouse(["import", "copy.oci.tar", "--name", "mine/copy"], { store: other })).toMatchObject({
      code: 0,
      out: expect.stringContaining(release.slice(7, 19)),
    });
    expect((await bakehouse(["images"], { store: other })).out).toMatch(/mine\/copy .*imported.*NOT HERMETIC/);
    expect((await bakehouse(["image", "show", "mine/copy"], { store: other })).out).toContain("(not in this store)");
  });

  it("verify with exit code 1 when something is damaged", async () => {
    expect(await bakehouse(["verify", "--deep"])).toMatchObject({ code: 0, out: expect.stringMatching(/^Sound: /) });
    const copy = join(scratch, "damaged-store");
    execFileSync("cp", ["-a", fixture.store.root, copy]);
    truncateSync(join(copy, "oci/blobs/sha256", fixture.diffsOf(release).at(-1)!.slice(7)), 5);
    const damaged = await bakehouse(["verify"], { store: copy });
    expect(damaged.code).toBe(1);
    expect(damaged.out).toMatch(/used by image shop\/release/);
    expect(damaged.out).toContain("bakehouse verify --repair");
    expect((await bakehouse(["verify", "--repair"], { store: copy })).code).toBe(0);
    expect((await bakehouse(["verify"], { store: copy })).code).toBe(0);
  });

  it("collect garbage only with --apply", async () => {
    expect((await bakehouse(["gc", "--keep", "1", "--recent", "0"])).out).toMatch(/Would go[^]*shop\/release \([^]*Nothing was changed/);
    expect(await json(["gc", "--keep", "1", "--recent", "0"])).toMatchObject({ applied: false });
    expect((await bakehouse(["gc", "--recent", "soon"])).code).toBe(2);
    expect((await bakehouse(["gc", "--keep", "1", "--recent", "0", "--apply"])).out).toMatch(/Freed/);
    expect((await bakehouse(["images", "--all"])).out).not.toContain("(older)");
  });

  it("say so when there is no store, and make none", async () => {
    const store = join(scratch, "nothing-here");
    for (const words of [["images"], ["image", "tree"], ["bakes"]]) expect((await bakehouse(words, { store })).out).toContain("yet");
    for (const words of [["image", "show", "x"], ["verify"], ["gc"], ["logs"]])
      expect(await bakehouse(words, { store })).toMatchObject({ code: 2, err: expect.stringContaining("There is no store") });
    expect(existsSync(store)).toBe(false);
  });
});
