import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BakehouseError } from "../../core/errors.ts";
import type { RecordedResponse } from "../../core/lock/model.ts";
import type { NamedMirror, NetworkSession } from "../../ports/network-recorder.ts";
import { createAuthority } from "./certificates.ts";
import { MIRROR_HOST, networkRecorder } from "./index.ts";

let folder: string;
const undo: (() => unknown)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-recorder-"));
});
afterEach(async () => {
  for (const task of undo.splice(0).reverse()) await task();
  rmSync(folder, { recursive: true, force: true });
});

interface Origin {
  readonly url: string;
  readonly asked: string[];
  stop(): void;
}

/** A real server on this machine. */
async function origin(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  certificate?: { readonly key: string; readonly cert: string },
): Promise<Origin> {
  const asked: string[] = [];
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  };
  const server: Server = certificate === undefined ? createServer(handler) : createTlsServer(certificate, handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = (): void => {
    server.closeAllConnections();
    server.close();
  };
  undo.push(stop);
  return { url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, stop };
}

const files = (contents: Readonly<Record<string, string>>) =>
  origin((request, response) => {
    const body = contents[request.url ?? ""];
    response.writeHead(body === undefined ? 404 : 200, {
      "content-type": "text/x",
      etag: '"1"',
      date: new Date().toUTCString(),
      "x-request-id": String(Math.random()),
    });
    response.end(body ?? "no such thing");
  });

interface Ran {
  readonly code: number;
  readonly out: string;
}

/** Runs a program as a step would: with the session's environment, its memory files as files. 127.0.0.1 is asked through the proxy as well. */
async function run(
  session: NetworkSession,
  command: string,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  for (const file of session.memoryFiles) {
    const path = join(folder, "run", file.path);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    writeFileSync(path, String(file.content).replaceAll("/run/bakehouse", join(folder, "run/bakehouse")));
  }
  const here = Object.fromEntries(
    Object.entries(session.environment).map(([name, value]) => [name, value.replace("/run/bakehouse", join(folder, "run/bakehouse"))]),
  );
  const env = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: folder, LC_ALL: "C.UTF-8", ...here, no_proxy: "", NO_PROXY: "", ...more };
  try {
    const { stdout } = await promisify(execFile)(command, args, { env, timeout: 30_000 });
    return { code: 0, out: stdout };
  } catch (error) {
    const failure = error as { code: number; stdout: string; stderr: string };
    return { code: failure.code, out: failure.stdout + failure.stderr };
  }
}

const curl = (session: NetworkSession, ...args: readonly string[]): Promise<Ran> => run(session, "curl", ["-sS", ...args]);

const request = (mirrors: readonly NamedMirror[] = []) => ({
  address: "base/run",
  mirrors,
  signal: new AbortController().signal,
  log: () => undefined,
});
const recorder = (trust: readonly string[] = []) => networkRecorder({ folder: join(folder, "recorded"), trust });

async function record(
  use: (session: NetworkSession) => Promise<unknown>,
  mirrors: readonly NamedMirror[] = [],
  trust: readonly string[] = [],
): Promise<readonly RecordedResponse[]> {
  const session = await recorder(trust).record(request(mirrors));
  await use(session);
  return session.close();
}

async function replay(
  responses: readonly RecordedResponse[],
  use: (session: NetworkSession) => Promise<unknown>,
  mirrors: readonly NamedMirror[] = [],
): Promise<void> {
  const session = await recorder().replay(request(mirrors), responses);
  try {
    await use(session);
  } finally {
    await session.close();
  }
}

const failure = async (work: Promise<unknown>): Promise<BakehouseError> => {
  const error = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof BakehouseError) return error;
  throw error instanceof Error ? error : new Error("it did not fail");
};

describe("what is recorded", () => {
  test("is given back when the server is gone, with the same status, headers and bytes", async () => {
    const server = await files({ "/a?x=1": "hello" });
    const seen: Ran[] = [];
    const use = async (session: NetworkSession): Promise<void> => {
      seen.push(
        await curl(session, "-i", `${server.url}/a?x=1`),
        await curl(session, "-i", `${server.url}/none`),
        await curl(session, "-i", `${server.url}/a?x=1`),
      );
    };
    const responses = await record(use);
    expect(server.asked).toEqual(["GET /a?x=1", "GET /none"]);
    expect(responses.map(({ method, url, status, headers, sizeBytes }) => ({ method, url, status, headers, sizeBytes }))).toEqual([
      { method: "GET", url: `${server.url}/a?x=1`, status: 200, headers: { "content-type": "text/x", etag: '"1"' }, sizeBytes: 5 },
      { method: "GET", url: `${server.url}/none`, status: 404, headers: { "content-type": "text/x", etag: '"1"' }, sizeBytes: 13 },
    ]);
    expect(readdirSync(join(folder, "recorded")).sort()).toEqual([...new Set(responses.map(({ sha256 }) => sha256.slice(7)))].sort());
    server.stop();
    await replay(responses, use);
    const bodies = seen.map(({ out }) => out.slice(out.indexOf("\r\n\r\n")).trim());
    expect(bodies).toEqual(["hello", "no such thing", "hello", "hello", "no such thing", "hello"]);
    expect(seen.slice(3).map(({ out }) => out)).not.toContainEqual(expect.stringMatching(/^date:/im));
  });

  test("serves parts, and whole answers to questions about changes", async () => {
    const server = await files({ "/f": "0123456789" });
    const outputs: string[] = [];
    const use = async (session: NetworkSession): Promise<void> => {
      for (const args of [
        ["-r", "2-4"],
        ["-r", "-3"],
        ["-r", "7-"],
        ["-H", 'If-None-Match: "1"'],
        ["-r", "2-4", "-H", 'If-Range: "old"'],
        ["-r", "90-"],
      ]) {
        outputs.push((await curl(session, "-w", " %{http_code}", ...args, `${server.url}/f`)).out);
      }
    };
    const responses = await record(use);
    await replay(responses, use);
    const expected = ["234 206", "789 206", "789 206", "0123456789 200", "0123456789 200", " 416"];
    expect(outputs).toEqual([...expected, ...expected]);
    expect(server.asked).toEqual(["GET /f"]);
  });

  test("answers HEAD from a GET, and knows the length from a HEAD alone", async () => {
    const server = await files({ "/f": "0123456789", "/g": "x" });
    const heads: string[] = [];
    const responses = await record(async (session) => {
      await curl(session, `${server.url}/f`);
      await curl(session, "-I", `${server.url}/g`);
    });
    await replay(responses, async (session) => {
      heads.push((await curl(session, "-I", `${server.url}/f`)).out, (await curl(session, "-I", `${server.url}/g`)).out);
    });
    expect(heads[0]).toMatch(/200 OK[\s\S]*content-length: 10/i);
    expect(heads[1]).toMatch(/200 OK/);
  });

  test("leaves out user names, passwords and fragments", async () => {
    const server = await origin((incoming, response) => response.end(incoming.headers.authorization ?? "nobody"));
    const responses = await record(async (session) => {
      const { out } = await curl(session, `${server.url.replace("//", "//me:secret@")}/x#part`);
      expect(out).toMatch(/^Basic /);
    });
    expect(responses.map(({ url }) => url)).toEqual([`${server.url}/x`]);
  });

  test("names a mirror, not its host: another mirror replays it", async () => {
    const server = await files({ "/debian/dists/x/InRelease": "release" });
    const mirror = (base: string): NamedMirror[] => [{ name: "debian", bases: [base] }];
    const responses = await record((session) => curl(session, `${server.url}/debian/dists/x/InRelease`), mirror(`${server.url}/debian`));
    expect(responses.map(({ url }) => url)).toEqual(["mirror://debian/dists/x/InRelease"]);
    await replay(
      responses,
      async (session) => {
        expect((await curl(session, "http://other.example/mirror/debian/dists/x/InRelease")).out).toBe("release");
        expect((await curl(session, `http://${MIRROR_HOST}/debian/dists/x/InRelease`)).out).toBe("release");
      },
      mirror("http://other.example/mirror/debian/"),
    );
  });

  test("can be asked for by the mirror's name as well", async () => {
    const server = await files({ "/d/pool/a": "deb" });
    const responses = await record(
      (session) => curl(session, `http://${MIRROR_HOST}/debian/pool/a`),
      [{ name: "debian", bases: [`${server.url}/d`] }],
    );
    expect(responses.map(({ url }) => url)).toEqual(["mirror://debian/pool/a"]);
  });

  test("comes through TLS as well, without the program noticing", async () => {
    const { key, cert, authority } = await serverCertificate();
    const server = await origin((_, response) => response.end("over TLS"), { key, cert });
    const outputs: string[] = [];
    const use = async (session: NetworkSession): Promise<void> => {
      outputs.push((await curl(session, `${server.url}/x`)).out);
      const python = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode(), end='')";
      outputs.push((await run(session, "/usr/bin/python3", ["-c", python, `${server.url}/x`])).out);
    };
    const responses = await record(use, [], [authority]);
    server.stop();
    await replay(responses, use);
    expect(outputs).toEqual(["over TLS", "over TLS", "over TLS", "over TLS"]);
    expect(responses.map(({ url }) => url)).toEqual([`${server.url}/x`]);
  });
});

/** An authority and a server certificate for 127.0.0.1, made by openssl: what others make must be understood. */
async function serverCertificate(): Promise<{ readonly key: string; readonly cert: string; readonly authority: string }> {
  const [key, cert] = [join(folder, "server.key"), join(folder, "server.pem")];
  await promisify(execFile)("openssl", [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-keyout",
    key,
    "-out",
    cert,
    "-subj",
    "/CN=test",
    "-addext",
    "subjectAltName=IP:127.0.0.1",
    "-days",
    "2",
  ]);
  return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8"), authority: readFileSync(cert, "utf8") };
}

test("a program that does not trust the step's authority gets nothing", async () => {
  const session = await recorder().record(request());
  const { code } = await run(session, "curl", ["-sS", "https://nowhere.example/"], {
    CURL_CA_BUNDLE: "/etc/ssl/certs/ca-certificates.crt",
    SSL_CERT_FILE: "/etc/ssl/certs/ca-certificates.crt",
  });
  expect(code).not.toBe(0);
  expect(await session.close()).toEqual([]);
});

test("certificates are what openssl takes as valid", async () => {
  const authority = createAuthority();
  authority.contextFor("host.example");
  const file = join(folder, "ca.pem");
  writeFileSync(file, authority.certificate);
  const { stdout } = await promisify(execFile)("openssl", ["verify", "-x509_strict", "-CAfile", file, file]);
  expect(stdout).toContain("OK");
});

describe("what is refused", () => {
  test("a bake names every request that is not in the recording", async () => {
    const error = await failure(
      replay([], async (session) => {
        expect((await curl(session, "http://one.example/a?b=c")).out).toBe(
          "bakehouse: not in the recording: GET http://one.example/a?b=c\n",
        );
        await curl(session, "http://one.example/a?b=c");
        await curl(session, "-X", "POST", "-d", "x", "https://two.example/");
      }),
    );
    expect(error.code).toBe("NETWORK_REFUSED");
    expect(error.message).toBe(
      "base/run: asked for what the lock has not recorded:\n  GET http://one.example/a?b=c\n  POST https://two.example/",
    );
  });

  test("a lock refuses what cannot be replayed", async () => {
    const server = await files({});
    const error = await failure(record((session) => curl(session, "-d", "x", `${server.url}/post`)));
    expect(error.code).toBe("NETWORK_REFUSED");
    expect(error.message).toContain(`POST ${server.url}/post`);
    expect(server.asked).toEqual([]);
  });

  test("a lock does not hold what a broken server said", async () => {
    let turn = 0;
    const server = await origin((_, response) => {
      turn += 1;
      if (turn === 1) response.writeHead(503).end();
      else response.end("at last");
    });
    const responses = await record(async (session) => {
      expect((await curl(session, "-w", "%{http_code}", "-o", "/dev/null", `${server.url}/a`)).out).toBe("502");
      expect((await curl(session, `${server.url}/a`)).out).toBe("at last");
    });
    expect(responses).toHaveLength(1);
  });

  test.each([
    ["does not answer", async () => "http://127.0.0.1:1"],
    [
      "breaks off",
      async () =>
        (await origin((_, response) => response.writeHead(200, { "content-length": 100 }).write("half", () => response.destroy()))).url,
    ],
  ])("a lock fails when a server %s", async (_, start) => {
    const url = await start();
    const error = await failure(record((session) => curl(session, `${url}/a`)));
    expect(error.code).toBe("MIRROR_UNAVAILABLE");
    expect(error.message).toContain(`GET ${url}/a`);
    const left = existsSync(join(folder, "recorded")) ? readdirSync(join(folder, "recorded")) : [];
    expect(left).toEqual([]);
  });

  test("a bake does not start without the recorded bytes, and does not use damaged ones", async () => {
    const server = await files({ "/a": "right" });
    const responses = await record((session) => curl(session, `${server.url}/a`));
    const body = join(folder, "recorded", (responses[0]?.sha256 ?? "").slice(7));
    writeFileSync(body, "wrong");
    expect((await failure(replay(responses, (session) => curl(session, `${server.url}/a`)))).code).toBe("DIGEST_MISMATCH");
    rmSync(body);
    server.stop();
    const missing = await failure(replay(responses, async () => undefined));
    expect(missing.code).toBe("LOCK_STALE");
    expect(missing.message).toContain(`${server.url}/a`);
  });
});

test("a machine that has the lock and not the store fetches what is still the same", async () => {
  const contents: Record<string, string> = { "/m/a": "stays", "/m/b": "changes" };
  const server = await files(contents);
  const mirrors: NamedMirror[] = [{ name: "debian", bases: ["http://127.0.0.1:1/gone", `${server.url}/m`] }];
  const use = async (session: NetworkSession): Promise<void> => {
    for (const name of ["a", "b", "none"]) await curl(session, `${server.url}/m/${name}`);
  };
  const responses = await record(use, mirrors);
  rmSync(join(folder, "recorded"), { recursive: true });
  await replay(responses, use, mirrors);
  contents["/m/b"] = "changed";
  rmSync(join(folder, "recorded"), { recursive: true });
  const error = await failure(replay(responses, use, mirrors));
  expect(error.code).toBe("LOCK_STALE");
  expect(error.message).toBe(
    "base/run: neither the store nor the network has any more what was recorded from:\n  mirror://debian/b (it has other content now)",
  );
  expect(readdirSync(join(folder, "recorded"))).toHaveLength(2);
});

describe("in a network namespace without a way out", () => {
  let holder: ChildProcess;
  beforeEach(async () => {
    holder = spawn("unshare", ["--net", "--kill-child", "--fork", "sh", "-c", "ip link set lo up; echo ready; exec sleep 600"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(holder.stdout as NodeJS.ReadableStream, "data");
    undo.push(async () => {
      const gone = once(holder, "close");
      holder.kill("SIGKILL");
      await gone;
    });
  });

  test("the proxy is all there is", async () => {
    const server = await files({ "/a": "through the proxy" });
    const namespacePid = Number(readFileSync(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8"));
    const inside = (session: NetworkSession, ...args: readonly string[]): Promise<Ran> =>
      run(session, "nsenter", [`--net=/proc/${namespacePid}/ns/net`, "curl", "-sS", ...args]);
    const session = await recorder().record({ ...request(), namespacePid });
    expect(session.environment["http_proxy"]).toBe("http://127.0.0.1:3128");
    expect((await inside(session, `${server.url}/a`)).out).toBe("through the proxy");
    expect((await inside(session, "--noproxy", "*", `${server.url}/a`)).code).not.toBe(0);
    // Every one of many connections must reach this process, and none the helper that has opened the socket.
    const many = await Promise.all(
      Array.from({ length: 8 }, (_, index) => inside(session, "--max-time", "20", `${server.url}/none/${index}`)),
    );
    expect(many.map(({ out }) => out)).toEqual(Array.from({ length: 8 }, () => "no such thing"));
    expect(await session.close()).toHaveLength(9);
  });
});
