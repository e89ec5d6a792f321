import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BakehouseError } from "../../core/errors.ts";
import type { Sha256 } from "../../core/digest.ts";
import { ociSource } from "./index.ts";

let folder: string;
const undo: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-oci-"));
});
afterEach(async () => {
  for (const task of undo.splice(0).reverse()) await task();
  rmSync(folder, { recursive: true, force: true });
});

const source = () => ociSource({ folder: join(folder, "cache") });
const digestOf = (content: string | Uint8Array): Sha256 => `sha256:${createHash("sha256").update(content).digest("hex")}`;

const TYPES = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

/** A layout written by hand. */
class Layout {
  readonly path: string;
  private readonly entries: object[] = [];
  constructor(path: string) {
    this.path = path;
    mkdirSync(join(path, "blobs/sha256"), { recursive: true });
    writeFileSync(join(path, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  }
  blob(content: string | Uint8Array, mediaType: string): { readonly mediaType: string; readonly digest: Sha256; readonly size: number } {
    const digest = digestOf(content);
    writeFileSync(join(this.path, "blobs/sha256", digest.slice(7)), content);
    return { mediaType, digest, size: Buffer.byteLength(content) };
  }
  image(layers: readonly string[], architecture = "amd64"): { readonly mediaType: string; readonly digest: Sha256; readonly size: number } {
    const tars = layers.map((text) => Buffer.from(text.padEnd(1024, "\0")));
    const config = this.blob(
      JSON.stringify({ architecture, os: "linux", rootfs: { type: "layers", diff_ids: tars.map(digestOf) } }),
      TYPES.config,
    );
    return this.blob(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: TYPES.manifest,
        config,
        layers: tars.map((tar) => this.blob(gzipSync(tar), TYPES.layer)),
      }),
      TYPES.manifest,
    );
  }
  name(descriptor: object, tag?: string): void {
    this.entries.push({ ...descriptor, ...(tag === undefined ? {} : { annotations: { "org.opencontainers.image.ref.name": tag } }) });
    writeFileSync(join(this.path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: this.entries }));
  }
}

const layout = (): Layout => new Layout(join(folder, "image"));
const index = (into: Layout, ...images: readonly (readonly [string, object])[]) =>
  into.blob(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: TYPES.index,
      manifests: images.map(([architecture, image]) => ({ ...image, platform: { os: "linux", architecture } })),
    }),
    TYPES.index,
  );

const problem = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof BakehouseError) return `${error.code}: ${error.message}`;
  throw error instanceof Error ? error : new Error("it was not refused");
};

describe("a layout", () => {
  test("gives the layers of its only image, in order", async () => {
    const made = layout();
    const image = made.image(["one", "two"]);
    made.name(image);
    const digest = await source().resolve("oci:image", folder);
    expect(digest).toBe(image.digest);
    const layers = await source().layers("oci:image", folder, digest);
    expect(layers.map(({ diffId, mediaType }) => [diffId, mediaType])).toEqual(
      ["one", "two"].map((text) => [digestOf(text.padEnd(1024, "\0")), TYPES.layer]),
    );
    expect(layers.every(({ hostPath }) => hostPath.startsWith(join(folder, "image/blobs/sha256/")))).toBe(true);
  });

  test("is asked by tag, and for this machine's architecture", async () => {
    const made = layout();
    const [mine, other] = [made.image(["mine"]), made.image(["other"], "arm64")];
    made.name(made.image(["older"]), "1");
    made.name(index(made, ["arm64", other], ["amd64", mine]), "2");
    expect(await source().resolve("oci:image:2", folder)).toBe(mine.digest);
    expect(await problem(source().resolve("oci:image", folder))).toContain("several images: 1, 2");
    expect(await problem(source().resolve("oci:image:3", folder))).toContain('no image "3"; it has: 1, 2');
    made.name(other, "arm");
    expect(await problem(source().resolve("oci:image:arm", folder))).toContain("is for linux/arm64");
    made.name(index(made, ["arm64", other]), "list");
    expect(await problem(source().resolve("oci:image:list", folder))).toContain("no image for linux/amd64, but linux/arm64");
  });

  test("that has changed since it was locked still gives the locked image", async () => {
    const made = layout();
    made.name(made.image(["old"]), "x");
    const digest = await source().resolve("oci:image:x", folder);
    rmSync(join(made.path, "index.json"));
    const again = new Layout(made.path);
    again.name(again.image(["new"]), "x");
    expect(await source().layers("oci:image:x", folder, digest)).toHaveLength(1);
  });

  test("with damaged or missing content is refused", async () => {
    const made = layout();
    const image = made.image(["one"]);
    made.name(image);
    const [layer] = await source().layers("oci:image", folder, image.digest);
    writeFileSync(layer?.hostPath ?? "", "damaged");
    expect(await problem(source().layers("oci:image", folder, image.digest))).toMatch(/^DIGEST_MISMATCH/);
    rmSync(layer?.hostPath ?? "");
    expect(await problem(source().layers("oci:image", folder, image.digest))).toMatch(/^INPUT_INVALID.*lacks the blob/);
  });

  test.each([
    ["oci:none", "there is no none beside the recipe"],
    ["oci:out", "leads out of the recipe's folder"],
    ["oci:empty", "no OCI image layout"],
    ["oci:odd", "is no JSON"],
    ["oci:artifact", "has no image configuration"],
    ["tar:x", "is not an image reference"],
  ])("%s is refused", async (reference, message) => {
    symlinkSync(tmpdir(), join(folder, "out"));
    mkdirSync(join(folder, "empty"));
    mkdirSync(join(folder, "odd"));
    writeFileSync(join(folder, "odd/index.json"), "{");
    const made = new Layout(join(folder, "artifact"));
    made.name(made.blob(JSON.stringify({ config: made.blob("{}", "x"), layers: [] }), TYPES.manifest));
    expect(await problem(source().resolve(reference, folder))).toContain(message);
  });

  test("that umoci has made is understood", async () => {
    const path = join(folder, "umoci");
    const umoci = (...args: readonly string[]): void => void execFileSync("umoci", args, { stdio: "pipe" });
    umoci("init", "--layout", path);
    umoci("new", "--image", `${path}:base`);
    mkdirSync(join(folder, "tree"));
    writeFileSync(join(folder, "tree/file"), "content");
    umoci("insert", "--image", `${path}:base`, join(folder, "tree"), "/srv");
    const digest = await source().resolve("oci:umoci:base", folder);
    expect(await source().layers("oci:umoci:base", folder, digest)).toHaveLength(1);
  });
});

/** The reading half of the OCI distribution protocol, over a layout. */
async function registry(made: Layout, manifests: Readonly<Record<string, Sha256>>): Promise<{ readonly host: string; stop(): void }> {
  const server: Server = createServer((request, response) => {
    const [, name = "", kind, reference = ""] = /^\/v2\/(.*)\/(manifests|blobs)\/(.*)$/.exec(request.url ?? "") ?? [];
    if (request.url === "/v2/") return void response.end("{}");
    const digest = kind === "manifests" ? (manifests[reference] ?? reference) : reference;
    const path = join(made.path, "blobs/sha256", digest.slice(7));
    if (name !== "team/base" || !digest.startsWith("sha256:") || !existsSync(path))
      return void response
        .writeHead(404, { "content-type": "application/json" })
        .end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    const content = readFileSync(path);
    const type = kind === "manifests" ? (JSON.parse(content.toString()) as { mediaType: string }).mediaType : "application/octet-stream";
    response.writeHead(200, { "content-type": type, "docker-content-digest": digest, "content-length": content.length });
    response.end(request.method === "HEAD" ? undefined : content);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    server.closeAllConnections();
    server.close();
  };
  undo.push(stop);
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, stop };
}

describe("a registry", () => {
  test("is asked once; then the image is there without it", async () => {
    const made = layout();
    const image = made.image(["one", "two"]);
    const list = index(made, ["arm64", made.image(["x"], "arm64")], ["amd64", image]);
    const { host, stop } = await registry(made, { "12": list.digest, plain: image.digest });
    expect(await source().resolve(`docker://${host}/team/base:12`, folder)).toBe(image.digest);
    expect(await source().resolve(`docker://${host}/team/base:plain`, folder)).toBe(image.digest);
    expect(await source().resolve(`docker://${host}/team/base@${image.digest}`, folder)).toBe(image.digest);
    stop();
    const layers = await source().layers(`docker://${host}/team/base:12`, folder, image.digest);
    expect(layers.map(({ diffId }) => diffId)).toEqual(["one", "two"].map((text) => digestOf(text.padEnd(1024, "\0"))));
    expect(readdirSync(join(folder, "cache"))).toEqual([image.digest.slice(7)]);
  });

  test("that does not know the image, or does not answer, is named", async () => {
    const { host, stop } = await registry(layout(), {});
    expect(await problem(source().resolve(`docker://${host}/team/base:no`, folder))).toMatch(
      new RegExp(`^MIRROR_UNAVAILABLE: docker://${host}/team/base:no: .*manifest`),
    );
    stop();
    expect(await problem(source().layers(`docker://${host}/team/base:no`, folder, digestOf("x")))).toMatch(/^MIRROR_UNAVAILABLE/);
    expect(readdirSync(join(folder, "cache"))).toEqual([]);
  });
});
