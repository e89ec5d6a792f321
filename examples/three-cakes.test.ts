import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync } from "node:fs";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { writeLaunchFiles } from "../src/adapters/launch-payload/index.ts";
import { ANNOTATIONS, MEDIA_TYPES } from "../src/core/image/oci.ts";
import type { LaunchSetting } from "../src/core/launch/launch-script.ts";
import { findImage } from "../src/engine/find-image.ts";
import { launchFiles } from "../src/engine/launch-files.ts";
import { bakeExample, type BakedExample } from "../test/cells/bake-example.ts";
import { bootCell, SERVER, type Cell } from "../test/cells/boot-cell.ts";

const CAKES = ["baked", "software", "boot"] as const;
type CakeName = (typeof CAKES)[number];

const baked = new Map<CakeName, BakedExample>();
const cakeOf = (name: CakeName): BakedExample => baked.get(name) as BakedExample;
beforeAll(async () => {
  for (const name of CAKES) baked.set(name, await bakeExample(`examples/three-cakes/${name}.yaml`));
});
afterAll(async () => {
  for (const one of baked.values()) await one.dispose();
});

/** The store forgets which files gave which payload. */
function forgetPayloads(plans: string): void {
  for (const note of readdirSync(plans)) if (note.startsWith("launch-")) rmSync(join(plans, note));
}

/** Files of a launch by name, as `bakehouse launch-files` gives them. */
function filesFor(name: CakeName, settings: Partial<Record<LaunchSetting, string>>): Record<string, string | Buffer> {
  const { store } = cakeOf(name).bakehouse.parts;
  const digest = cakeOf(name).result.images.at(-1)?.digest ?? ""; // the name has moved on to what another test baked
  const read = (blob: `sha256:${string}`): Buffer => readFileSync(store.blobs.path(blob));
  const { files } = launchFiles(store, digest, settings, (blob) => read(blob).toString());
  return Object.fromEntries(files.map((file) => [file.name, typeof file.content === "string" ? file.content : read(file.content.blob)]));
}

const payloadIn = (files: Record<string, string | Buffer>): readonly [string, Buffer] => {
  const [name = "", content = ""] = Object.entries(files).find(([file]) => file.endsWith(".tar")) ?? [];
  return [name, Buffer.from(content)];
};

describe("what is baked", () => {
  it("are all layers, all but the top, or the foundation", () => {
    const made = (name: CakeName): unknown =>
      cakeOf(name).result.images.map(({ layer, kind, hermetic }) => `${layer} ${kind}${hermetic ? "" : ", needs a network at launch"}`);
    expect(made("baked")).toEqual(["foundation image", "base image", "base-app image", "release image"]);
    expect(made("software")).toEqual(["foundation image", "base image", "base-app image", "release launch"]);
    expect(made("boot")).toEqual(["foundation image", "release launch, needs a network at launch"]);
  });

  it("is told by plan, with what is left for the launch", () => {
    const plan = (name: CakeName): unknown => cakeOf(name).bakehouse.plan(cakeOf(name).loaded).launches;
    expect(plan("baked")).toBeUndefined();
    expect(plan("software")).toMatchObject([{ name: "release", root: "base-app", steps: [{ address: "release/copy" }] }]);
    expect(plan("boot")).toMatchObject([
      {
        name: "release",
        root: "foundation",
        steps: [
          { address: "base/apt" },
          { step: "sysctl" },
          { step: "apt" },
          { step: "remove" },
          { step: "copy" },
          { step: "systemd" },
          { address: "release/copy" },
        ],
      },
    ]);
  });

  it("is an artifact whose subject is the image that it starts on", () => {
    const { store } = cakeOf("software").bakehouse.parts;
    const entry = findImage(store, "three-cakes-software/release");
    const manifest = store.images.manifest(entry.digest);
    expect(manifest).toMatchObject({
      artifactType: MEDIA_TYPES.launch,
      subject: { digest: findImage(store, "three-cakes-software/base-app").digest },
    });
    expect(manifest.layers.map(({ annotations }) => annotations?.[ANNOTATIONS.title])).toEqual([
      "user-data",
      "launch.sh",
      "launch.env",
      "payload.tar",
    ]);
  });

  it.each(["software", "boot"] as const)("gives the same bytes again, from another folder and without the cache (%s)", async (name) => {
    const first = cakeOf(name);
    const again = await bakeExample(`examples/three-cakes/${name}.yaml`);
    try {
      execFileSync("find", [again.folder, "-exec", "touch", "-d", "2001-02-03", "{}", "+"]);
      execFileSync("chmod", ["-R", "go-rwx", again.folder]);
      forgetPayloads(first.bakehouse.parts.store.path("plans"));
      const result = await again.bakehouse.bake(again.bakehouse.load(join(again.folder, `${name}.yaml`)));
      expect(result.images.at(-1)).toMatchObject({ kind: "launch", digest: first.result.images.at(-1)?.digest });
    } finally {
      await again.dispose();
    }
  });

  it("changes with the app alone when software is baked: the image stays", async () => {
    const one = await bakeExample("examples/three-cakes/software.yaml");
    try {
      execFileSync("sh", ["-c", 'echo "<h1>new</h1>" > "$0/site/index.html"', one.folder]);
      const result = await one.bakehouse.bake(one.loaded);
      const before = cakeOf("software").result.images;
      expect(result).toMatchObject({ baked: 1 });
      expect(result.images.map(({ digest }, index) => digest === before[index]?.digest)).toEqual([true, true, true, false]);
    } finally {
      await one.dispose();
    }
  });
});

describe("the files for a launch", () => {
  it("are user-data that YAML reads, with the settings filled in, and a payload named by its digest", () => {
    const files = filesFor("software", { BAKEHOUSE_PAYLOAD_URL: "http://files.example/it's here/" });
    const [name, payload] = payloadIn(files);
    expect(name).toBe(`${execFileSync("sha256sum", { input: payload }).toString().slice(0, 64)}.tar`);
    const data = parse(String(files["user-data"])) as {
      write_files: { path: string; content: string; permissions: string }[];
      runcmd?: unknown;
    };
    expect(data.runcmd).toBeUndefined();
    expect(data.write_files.map(({ path, permissions }) => [path, permissions])).toEqual([
      ["/etc/bakehouse/launch.env", "0600"],
      ["/etc/bakehouse/launch.sh", "0700"],
    ]);
    expect(data.write_files[0]?.content).toBe(files["launch.env"]);
    expect(data.write_files[1]?.content).toBe(files["launch.sh"]);
    const shown = execFileSync("sh", [], { input: `${String(files["launch.env"])}printf %s "$BAKEHOUSE_PAYLOAD_URL"` }).toString();
    expect(shown).toBe("http://files.example/it's here/");
    execFileSync("sh", ["-n"], { input: files["launch.sh"] });
  });

  it("are written into a folder", () => {
    const one = cakeOf("boot");
    const folder = join(one.folder, "seed");
    const files = filesFor("boot", {});
    writeLaunchFiles(
      folder,
      Object.entries(files).map(([name, content]) => ({ name, content: content.toString(), mode: 0o600 })),
    );
    expect(readdirSync(folder).sort()).toEqual([payloadIn(files)[0], "launch.env", "launch.sh", "meta-data", "user-data"].sort());
  });

  it("are refused for an image, and for settings that it does not read", () => {
    const { store } = cakeOf("software").bakehouse.parts;
    expect(() => launchFiles(store, "three-cakes-baked/release", {}, () => "")).toThrow(
      "three-cakes-baked/release needs nothing at launch: all of it is baked",
    );
    expect(() => filesFor("software", { BAKEHOUSE_MIRROR: "http://mirror.example" })).toThrow("does not read BAKEHOUSE_MIRROR");
  });
});

/** Serves a payload, and the mirror of this machine below /debian. */
async function serverFor(name: CakeName, files: Record<string, string | Buffer>): Promise<RequestListener> {
  const { parts } = cakeOf(name).bakehouse;
  const mirrors = await parts.mirrors(cakeOf(name).loaded.recipe);
  const [mirror = ""] = mirrors.find((one) => one.name === "debian")?.bases ?? [];
  const [payloadName, payload] = payloadIn(files);
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? "/";
    if (path === `/${payloadName}`) return void response.end(payload);
    if (!path.startsWith("/debian/")) return void response.writeHead(404).end();
    const upstream = await fetch(`${mirror.replace(/\/$/, "")}/${path.slice("/debian/".length)}`);
    response.writeHead(upstream.status, { "content-length": upstream.headers.get("content-length") ?? "" });
    if (upstream.body === null) return void response.end();
    Readable.fromWeb(upstream.body as never).pipe(response);
  };
  return (request, response) => void answer(request, response).catch(() => response.destroy());
}

/** The seed of cloud-init's NoCloud. */
const seed = (files: Record<string, string | Buffer>): Record<string, string | Buffer> => ({
  "var/lib/cloud/seed/nocloud/user-data": files["user-data"] ?? "",
  "var/lib/cloud/seed/nocloud/meta-data": files["meta-data"] ?? "",
});

async function withCell<T>(options: Omit<Parameters<typeof bootCell>[0], "store">, work: (cell: Cell) => Promise<T>): Promise<T> {
  const cell = await bootCell({ store: cakeOf("baked").bakehouse.parts.store, ...options });
  try {
    return await work(cell);
  } finally {
    await cell.stop();
  }
}

/** What a machine is, however it came to be. */
async function seenOf(cell: Cell): Promise<unknown> {
  await cell.fetch("http://127.0.0.1/health");
  const state = await cell.booted();
  const page = await cell.fetch("http://127.0.0.1/");
  const look =
    "cat /srv/site/version /etc/sysctl.d/60-*; find /srv/site /etc/nginx/sites-enabled | sort | xargs stat -c '%A %U %n'; dpkg-query -W -f '${Package}\\n' nginx-light curl; ls /etc/apt/sources.list.d /usr/sbin/policy-rc.d 2>/dev/null";
  return { state, page: page.body, look: await cell.run("sh", "-c", `${look} || :`) };
}

describe("a machine", () => {
  it("is the same from each of the three", async () => {
    const fromImage = await withCell({ image: "three-cakes-baked/release" }, seenOf);
    expect(fromImage).toMatchObject({ state: "running", page: expect.stringContaining("Three cakes, version 1.0.0") });

    const software = filesFor("software", { BAKEHOUSE_PAYLOAD_URL: `${SERVER}/` });
    const fromSoftware = await withCell(
      { image: "three-cakes-software/base-app", files: seed(software), serve: await serverFor("software", software) },
      seenOf,
    );
    expect(fromSoftware).toEqual(fromImage);

    const boot = filesFor("boot", { BAKEHOUSE_PAYLOAD_URL: `${SERVER}/`, BAKEHOUSE_MIRROR: `${SERVER}/debian` });
    const fromBoot = await withCell(
      { image: "three-cakes-boot/foundation", files: seed(boot), serve: await serverFor("boot", boot) },
      seenOf,
    );
    expect(fromBoot).toEqual(fromImage);
  }, 300_000);

  it("takes its script and settings from systemd credentials where there is no cloud-init", async () => {
    const files = filesFor("software", { BAKEHOUSE_PAYLOAD_URL: `${SERVER}/` });
    const credentials = {
      "bakehouse.launch": String(files["launch.sh"]),
      "bakehouse.settings": String(files["launch.env"]),
    };
    const page = await withCell(
      { image: "three-cakes-software/base-app", credentials, serve: await serverFor("software", files) },
      async (cell) => (await cell.fetch("http://127.0.0.1/")).body,
    );
    expect(page).toContain("Three cakes, version 1.0.0");
  });

  it("starts no app when the payload is not the one that was meant, and says why", async () => {
    const files = filesFor("software", { BAKEHOUSE_PAYLOAD_URL: `${SERVER}/` });
    const [name, payload] = payloadIn(files);
    const other = { ...files, [name]: Buffer.concat([payload, Buffer.from("more")]) };
    await withCell(
      { image: "three-cakes-software/base-app", files: seed(files), serve: await serverFor("software", other) },
      async (cell) => {
        expect(await cell.booted()).toBe("degraded");
        expect((await cell.run("sh", "-c", "systemctl is-active nginx bakehouse-launch || :")).trim().split("\n")).toEqual([
          "inactive",
          "failed",
        ]);
        expect(await cell.run("journalctl", "--unit", "bakehouse-launch", "--output", "cat")).toContain(
          "what came is not the payload: its SHA-256 is ",
        );
      },
    );
  });

  it("says so when it was given nothing to run", async () => {
    await withCell({ image: "three-cakes-software/base-app" }, async (cell) => {
      expect(await cell.booted()).toBe("degraded");
      expect(await cell.run("journalctl", "--unit", "bakehouse-launch", "--output", "cat")).toContain(
        "this machine was given nothing to run",
      );
    });
  });
});
