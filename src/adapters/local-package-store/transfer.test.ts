import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BakehouseError } from "../../core/errors.ts";
import type { Sha256 } from "../../core/digest.ts";
import { sendFile, serve, type TestServer } from "./flaky-server.testing.ts";
import { loginFor, parseNetrc } from "./netrc.ts";
import { createTransfer } from "./transfer.ts";

let folder: string;
const servers: TestServer[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-transfer-"));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
  rmSync(folder, { recursive: true, force: true });
});

const content = randomBytes(300_000);
const sha256: Sha256 = `sha256:${createHash("sha256").update(content).digest("hex")}`;
const expected = { sha256, sizeBytes: content.length };
const transfer = createTransfer({ environment: {}, attempts: 3, backoffMs: 1, silenceMs: 150 });
const target = (): string => join(folder, "file");
const start = async (...parameters: Parameters<typeof serve>): Promise<TestServer> => {
  const server = await serve(...parameters);
  servers.push(server);
  return server;
};
const download = (
  urls: readonly string[],
  more: { readonly signal?: AbortSignal; readonly onBytes?: (bytes: number) => void } = {},
): Promise<{ readonly sizeBytes: number; readonly missing: boolean }> =>
  transfer.download({ urls, target: target(), what: "thing 1.0", expected, signal: AbortSignal.timeout(20_000), ...more });
const refusal = async (urls: readonly string[], signal?: AbortSignal): Promise<BakehouseError> => {
  const error: unknown = await download(urls, signal === undefined ? {} : { signal }).catch((reason: unknown) => reason);
  expect(existsSync(target())).toBe(false);
  if (error instanceof BakehouseError) return error;
  throw error;
};

test("goes on where the connection was cut", async () => {
  let count = 0;
  const server = await start((request, response) =>
    sendFile(request, response, content, { etag: '"1"', ...(count++ < 2 ? { cutAfter: 100_000 } : {}) }),
  );
  const seen: number[] = [];
  expect(await download([`${server.url}/f`], { onBytes: (bytes) => seen.push(bytes) })).toEqual({
    sizeBytes: content.length,
    missing: false,
  });
  expect(readFileSync(target()).equals(content)).toBe(true);
  expect(server.requests[0]).toBe("GET /f");
  expect(server.requests[1]).toMatch(/^GET \/f bytes=[1-9]\d*-$/);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
});

test("starts again when the server has no ranges, or another file by now", async () => {
  let count = 0;
  const plain = await start((request, response) =>
    sendFile(request, response, content, { ranges: false, ...(count++ === 0 ? { cutAfter: 70_000 } : {}) }),
  );
  await download([`${plain.url}/f`]);
  expect(readFileSync(target()).equals(content)).toBe(true);
  rmSync(target());
  const other = Buffer.alloc(content.length, 1);
  let turn = 0;
  const changing = await start((request, response) =>
    turn++ === 0
      ? sendFile(request, response, other, { etag: '"old"', cutAfter: 70_000 })
      : sendFile(request, response, content, { etag: '"new"' }),
  );
  await download([`${changing.url}/f`]);
  expect(readFileSync(target()).equals(content)).toBe(true);
});

test("slow is fine, silent is not", async () => {
  const slow = await start((_, response) => {
    response.writeHead(200, { "content-length": content.length });
    let at = 0;
    const timer = setInterval(() => {
      response.write(content.subarray(at, at + 50_000));
      at += 50_000;
      if (at >= content.length) {
        clearInterval(timer);
        response.end();
      }
    }, 60); // 6 pieces: longer than silenceMs in all, shorter each
  });
  await download([`${slow.url}/f`]);
  rmSync(target());
  const silent = await start(() => undefined);
  const error = await refusal([`${silent.url}/f`]);
  expect(error.code).toBe("MIRROR_UNAVAILABLE");
  expect(error.message).toContain("silent for 0.15 s (tried 3 times)");
});

test("takes the next URL when one has nothing, and follows redirects", async () => {
  const good = await start((request, response) => sendFile(request, response, content));
  const moved = await start((_, response) => response.writeHead(302, { location: `${good.url}/real` }).end());
  const empty = await start((_, response) => response.writeHead(404).end("no"));
  expect(await download([`${empty.url}/f`, `${moved.url}/f`])).toMatchObject({ missing: false });
  expect(empty.requests).toHaveLength(1);
  expect(good.requests).toEqual(["GET /real"]);
  rmSync(target());
  expect(await download([`${empty.url}/f`, pathToFileURL(join(folder, "none")).href])).toEqual({ sizeBytes: 0, missing: true });
  expect(existsSync(target())).toBe(false);
});

test("wrong bytes are refused with both digests, too many as soon as they come", async () => {
  const wrong = await start((request, response) => sendFile(request, response, Buffer.alloc(content.length)));
  const error = await refusal([`${wrong.url.replace("//", "//user:hidden@")}/f`]);
  expect(error.code).toBe("DIGEST_MISMATCH");
  expect(error.message).toContain(`instead of ${sha256}`);
  expect(JSON.stringify([error.message, error.help])).not.toContain("hidden");
  const endless = await start((_, response) => {
    response.writeHead(200);
    const push = (): void => {
      if (!response.destroyed) response.write(content, () => setImmediate(push));
    };
    push();
  });
  expect((await refusal([`${endless.url}/f`])).message).toContain("is longer than");
});

test("an error of the server is tried again, a refused connection says so, an abort stops at once", async () => {
  let count = 0;
  const shaky = await start((request, response) => (count++ < 2 ? response.writeHead(503).end() : sendFile(request, response, content)));
  await download([`${shaky.url}/f`]);
  expect(shaky.requests).toHaveLength(3);
  rmSync(target());
  const gone = await serve(() => undefined);
  await gone.close();
  expect((await refusal([`${gone.url}/f`])).message).toContain("the connection is refused (tried 3 times)");
  const silent = await start(() => undefined);
  expect((await refusal([`${silent.url}/f`], AbortSignal.timeout(20))).code).toBe("CANCELLED");
});

test("through a proxy, and with the login of the URL", async () => {
  const seen: (string | undefined)[] = [];
  const proxy = await start((request, response) => {
    seen.push(request.headers.authorization);
    sendFile(request, response, content);
  });
  const through = createTransfer({ environment: { http_proxy: proxy.url }, attempts: 1 });
  await through.download({
    urls: ["http://me:word@mirror.invalid/pool/f"],
    target: target(),
    what: "thing",
    expected,
    signal: AbortSignal.timeout(20_000),
  });
  expect(proxy.requests).toEqual(["GET http://mirror.invalid/pool/f"]);
  expect(seen).toEqual([`Basic ${Buffer.from("me:word").toString("base64")}`]);
});

test("a file: URL is copied and checked", async () => {
  const source = join(folder, "source with spaces");
  writeFileSync(source, content);
  await download([pathToFileURL(source).href]);
  expect(readFileSync(target()).equals(content)).toBe(true);
  rmSync(target());
  writeFileSync(source, "short");
  expect((await refusal([pathToFileURL(source).href])).code).toBe("DIGEST_MISMATCH");
  expect(readdirSync(folder)).toEqual(["source with spaces"]);
});

test("logins as apt has them", () => {
  const logins = parseNetrc("# c\nmachine a.example/x login u password p\nmachine http://b.example:81\nlogin v\npassword q\n");
  const find = (url: string): string | undefined => loginFor(new URL(url), logins);
  expect(find("http://a.example/x/y")).toBe("u:p");
  expect(find("http://a.example/xy")).toBeUndefined();
  expect(find("http://b.example:81/")).toBe("v:q");
  expect(find("http://b.example/")).toBeUndefined();
});
