import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GateAnswer, GateProbe, ProbedGate } from "../../core/gates/model.ts";
import { MOST_BYTES } from "./fetch-json.ts";
import { openSqliteFleets } from "../sqlite-fleets/sqlite-fleets.ts";
import type { GateBaselines } from "../../ports/gate-baselines.ts";
import { gateProbes, type GateProbeParts } from "./gate-probes.ts";

// A source of metrics: what it answers at a path, and what it was asked.

type Answer = (response: ServerResponse, asked: { readonly query: string; readonly request: IncomingMessage }) => void;
const json =
  (value: unknown, status = 200): Answer =>
  (response) =>
    void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
const text =
  (body: string, status = 200): Answer =>
  (response) =>
    void response.writeHead(status).end(body);

const routes = new Map<string, Answer>();
const asked: { path: string; query: string; headers: IncomingMessage["headers"] }[] = [];
const server = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
  request.on("end", () => {
    const query = new URLSearchParams(body).get("query") ?? "";
    asked.push({ path: request.url ?? "", query, headers: request.headers });
    (routes.get(request.url ?? "") ?? text("not here", 404))(response, { query, request });
  });
});
let origin = "";
let closedPort = 0;
beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const other = createServer();
  await once(other.listen(0, "127.0.0.1"), "listening");
  closedPort = (other.address() as AddressInfo).port;
  other.close();
});
afterAll(() => void server.close().closeAllConnections());

// Who asks.

const never = new AbortController().signal;
/** As another process would find them. */
function recorded(): GateBaselines {
  const records = openSqliteFleets(":memory:");
  return {
    read: (gate) => records.baseline("shop/web", gate),
    keep: (gate, baseline) => records.keepBaseline("shop/web", gate, baseline),
  };
}
const nobody: GateProbeParts = {
  fleet: { http: () => Promise.reject(new Error("nobody")), logs: () => Promise.reject(new Error("nobody")) },
  baselines: { read: () => undefined, keep: () => undefined },
};
const gateOf = (probe: GateProbe): ProbedGate => ({ name: "gate", onError: "hold", onInconclusive: "hold", probe });
const moved = (...ids: readonly string[]) => ids.map((id) => ({ id, address: `${id}:80`, sinceMs: 600_000 }));
const ask = (probe: GateProbe, parts: GateProbeParts = nobody, ids: readonly string[] = ["web-1"]): Promise<GateAnswer> =>
  gateProbes(parts).ask(gateOf(probe), { moved: moved(...ids), untouched: moved("web-8", "web-9") }, never);
const verdictOf = async (answer: Promise<GateAnswer>): Promise<readonly [string, string]> => {
  const { verdict, detail } = await answer;
  return [verdict, detail];
};

const httpProbe = (url: string, more: Partial<Extract<GateProbe, { kind: "http" }>> = {}): GateProbe => ({
  ...{ kind: "http", at: { url, headers: {} }, wanted: { value: "rate" }, expected: { below: 1 }, timeoutMs: 2000 },
  ...more,
});

describe("a number over HTTP", () => {
  it.each<[string, Answer, string, string | RegExp]>([
    ["good", json({ rate: 0.5 }), "passed", /^0\.5 \(127\.0\.0\.1:\d+\), below 1$/],
    ["constant", json({ rate: 0 }), "passed", "0 (127"],
    ["a list", json({ rate: [0.1, 0.2] }), "passed", "all 2, the worst 0.2"],
    ["bad", json({ rate: 1.5 }), "failed", "1 of 1 not below 1: 1.5"],
    ["null, as a NaN is written", json({ rate: null }), "inconclusive", "1 of 1 are no numbers"],
    ["an empty list", json({ rate: [] }), "inconclusive", "no samples"],
    ["under another name", json({ ratio: 0.5 }), "error", "there is no rate in the answer"],
    ["a text", json({ rate: "0.5" }), "error", 'rate is no number: "0.5"'],
    ["no JSON", text("<html>"), "error", "the answer is no JSON"],
    ["nothing", text(""), "error", "the answer is no JSON"],
    ["an error", json({ rate: 0.5 }, 500), "error", "it answered 500"],
    ["an error page", text("<html>", 503), "error", "it answered 503"],
    ["not there", text("not here", 404), "error", "it answered 404"],
    ["a redirect", (response) => response.writeHead(302, { location: `${origin}/good` }).end(), "error", "it answered 302, a redirect"],
    ["slow", () => undefined, "error", "no answer within 300 ms"],
    ["slow in the middle", (response) => response.writeHead(200).write('{"rate": 0'), "error", "no answer within 300 ms"],
    ["cut off", (response) => response.writeHead(200).write("{", () => response.destroy()), "error", ""],
    ["huge", text(`{"rate": 0.5, "x": "${"x".repeat(MOST_BYTES)}"}`), "error", "the answer is larger than 4 MiB"],
    [
      "endless",
      (response) => {
        const more = (): void => void (response.destroyed || response.write("x".repeat(65_536), () => setImmediate(more)));
        response.writeHead(200);
        more();
      },
      "error",
      /larger than 4 MiB|no answer within/,
    ],
  ])("%s", async (name, answer, verdict, detail) => {
    routes.set(`/${encodeURIComponent(name)}`, answer);
    const found = await verdictOf(
      ask(httpProbe(`${origin}/${encodeURIComponent(name)}`, { timeoutMs: name.startsWith("slow") ? 300 : 2000 })),
    );
    expect(found).toEqual([verdict, typeof detail === "string" ? expect.stringContaining(detail) : expect.stringMatching(detail)]);
  });

  it("from nobody", async () => {
    expect(await verdictOf(ask(httpProbe(`http://127.0.0.1:${closedPort}/`)))).toEqual(["error", expect.stringContaining("ECONNREFUSED")]);
    expect(await verdictOf(ask(httpProbe("http://no-such-host.invalid/")))).toEqual(["error", expect.stringContaining("no-such-host")]);
  });

  it("of each instance, where the worst counts", async () => {
    routes.set("/of/web-1?at=web-1:80", json({ rate: 0.1 }));
    routes.set("/of/web-2?at=web-2:80", json({ rate: 3 }));
    const url = `${origin}/of/{{instance}}?at={{address}}`;
    expect(await verdictOf(ask(httpProbe(url), nobody, ["web-1"]))).toEqual(["passed", "0.1 (web-1), below 1"]);
    expect(await verdictOf(ask(httpProbe(url), nobody, ["web-1", "web-2", "web-3"]))).toEqual([
      "failed",
      "1 of 2 not below 1: 3 (web-2); 1 of 3 gave no answer: web-3: it answered 404",
    ]);
  });

  it("with headers, of which secrets are looked up", async () => {
    routes.set("/guarded", (response, { request }) =>
      json({ rate: request.headers.authorization === "Bearer s3cret" ? 0 : 9 })(response, { query: "", request }),
    );
    const probe = httpProbe("", { at: { url: `${origin}/guarded`, headers: { authorization: { secret: "token" }, "x-a": "b" } } });
    expect(await verdictOf(ask(probe, { ...nobody, secret: (name) => (name === "token" ? "Bearer s3cret" : undefined) }))).toEqual([
      "passed",
      expect.any(String),
    ]);
    expect(asked.at(-1)?.headers).toMatchObject({ "x-a": "b", "user-agent": "bakehouse" });
    expect(await verdictOf(ask(probe))).toEqual(["error", "it could not be asked: the secret of header authorization is not there"]);
  });

  it("is stopped by its signal", async () => {
    routes.set("/waiting", () => undefined);
    const stop = new AbortController();
    const waiting = gateProbes(nobody).ask(gateOf(httpProbe(`${origin}/waiting`)), { moved: moved("a"), untouched: [] }, stop.signal);
    stop.abort();
    expect(await verdictOf(waiting)).toEqual(["error", expect.stringContaining("the question was stopped")]);
    expect(
      await verdictOf(gateProbes(nobody).ask(gateOf(httpProbe(`${origin}/x`)), { moved: moved("a"), untouched: [] }, stop.signal)),
    ).toEqual(["error", expect.stringContaining("the question was stopped")]);
  });
});

describe("a number of the instances themselves", () => {
  const probe: GateProbe = {
    ...{ kind: "http", at: { path: "/stats", port: 8000 }, wanted: { value: "rate" }, expected: { below: 1 }, timeoutMs: 200 },
  };
  const fleetOf = (answers: Readonly<Record<string, { status: number; body: string } | "silent">>): GateProbeParts => ({
    ...nobody,
    fleet: {
      ...nobody.fleet,
      http: (id, request) => {
        expect(request).toEqual({ port: 8000, path: "/stats", timeoutMs: 200 });
        const answer = answers[id];
        if (answer === "silent") return new Promise(() => undefined);
        return answer === undefined ? Promise.reject(new Error("connection refused")) : Promise.resolve(answer);
      },
    },
  });

  it.each<[string, Parameters<typeof fleetOf>[0], string, string]>([
    [
      "good",
      { a: { status: 200, body: '{"rate": 0}' }, b: { status: 200, body: '{"rate": 0.5}' } },
      "passed",
      "all 2, the worst 0.5 (b), below 1",
    ],
    ["one bad", { a: { status: 200, body: '{"rate": 2}' }, b: { status: 200, body: '{"rate": 0.5}' } }, "failed", "2 (a)"],
    ["one that is silent", { a: { status: 200, body: '{"rate": 0}' }, b: "silent" }, "error", "b: no answer within 200 ms"],
    ["one away", { a: { status: 200, body: '{"rate": 0}' } }, "error", "1 of 2 gave no answer: b: connection refused"],
    ["one without JSON", { a: { status: 200, body: '{"rate": 0}' }, b: { status: 200, body: "ok" } }, "error", "b: the answer is no JSON"],
    ["one with an error", { a: { status: 200, body: '{"rate": 0}' }, b: { status: 500, body: "oops" } }, "error", "b: it answered 500"],
  ])("%s", async (_, answers, verdict, detail) => {
    expect(await verdictOf(ask(probe, fleetOf(answers), ["a", "b"]))).toEqual([verdict, expect.stringContaining(detail)]);
  });

  it("asks many, sixteen at once", async () => {
    let open = 0;
    let most = 0;
    const fleet: GateProbeParts["fleet"] = {
      ...nobody.fleet,
      http: async () => {
        most = Math.max(most, ++open);
        await new Promise((go) => setTimeout(go, 1));
        open--;
        return { status: 200, body: '{"rate": 0}' };
      },
    };
    const ids = Array.from({ length: 100 }, (_, index) => `web-${index}`);
    expect(await verdictOf(ask(probe, { ...nobody, fleet }, ids))).toEqual(["passed", "all 100, the worst 0 (web-0), below 1"]);
    expect(most).toBe(16);
  });
});

describe("a query to Prometheus", () => {
  const API = "/api/v1/query";
  const vector = (...values: readonly string[]): Answer =>
    json({
      status: "success",
      data: { resultType: "vector", result: values.map((value) => ({ metric: {}, value: [1700000000.5, value] })) },
    });
  const probe = (more: Partial<Extract<GateProbe, { kind: "prometheus" }>> = {}): GateProbe => ({
    ...{ kind: "prometheus", server: origin, headers: {}, windowMs: 300_000, timeoutMs: 2000 },
    ...{ wanted: { value: 'rate(errors{instance=~"{{instances}}"}[{{window}}])' }, expected: { below: 1 } },
    ...more,
  });

  it.each<[string, Answer, string, string]>([
    ["a vector", vector("0.1", "0.9"), "passed", "all 2, the worst 0.9"],
    ["a constant", vector("0", "0"), "passed", "the worst 0"],
    ["a vector with one that is bad", vector("0.1", "1.9"), "failed", "1 of 2 not below 1: 1.9"],
    ["a scalar", json({ status: "success", data: { resultType: "scalar", result: [1, "0.5"] } }), "passed", "0.5"],
    ["nothing, as for a name that is wrong", vector(), "inconclusive", "no samples"],
    ["NaN", vector("NaN"), "inconclusive", "1 of 1 are no numbers"],
    ["infinity", vector("0.1", "+Inf"), "inconclusive", "1 of 2 are no numbers"],
    [
      "a warning",
      json({ status: "success", warnings: ["a store is away"], data: { resultType: "scalar", result: [1, "0.5"] } }),
      "inconclusive",
      "it warns: a store is away",
    ],
    ["an error", json({ status: "error", errorType: "bad_data", error: "parse error" }, 400), "error", "bad_data: parse error"],
    ["a timeout of its own", json({ status: "error", errorType: "timeout", error: "query timed out" }, 503), "error", "query timed out"],
    ["an error with data", json({ status: "success", data: { resultType: "vector", result: [] } }, 500), "error", "it answered 500"],
    ["something else", json({ ok: true }), "error", "no answer of the Prometheus HTTP API"],
    ["a page", text("<html>"), "error", "the answer is no JSON"],
    ["a gateway's error", text("bad gateway", 502), "error", "it answered 502"],
  ])("gives %s", async (_, answer, verdict, detail) => {
    routes.set(API, answer);
    expect(await verdictOf(ask(probe()))).toEqual([verdict, expect.stringContaining(detail)]);
  });

  it("is down", async () => {
    expect(await verdictOf(ask(probe({ server: `http://127.0.0.1:${closedPort}` })))).toEqual([
      "error",
      expect.stringContaining("ECONNREFUSED"),
    ]);
  });

  it("names the moved instances, and looks back no longer than they have been moved", async () => {
    routes.set(API, vector("0"));
    await gateProbes(nobody).ask(
      gateOf(probe()),
      { moved: [{ id: "web-1", sinceMs: 600_000 }, { id: "web-2", sinceMs: 42_000 }], untouched: moved("web-9") }, // prettier-ignore
      never,
    );
    expect(asked.at(-1)).toMatchObject({ path: API, query: 'rate(errors{instance=~"web-1|web-2"}[42s])' });
  });

  const compared = (minSamples = 5): GateProbe =>
    probe({ expected: { compare: { worse: "up", tolerance: { percent: 10 }, falseAlarmsPercent: 1, minSamples } } });
  const spread = (from: number): Answer => vector(...Array.from({ length: 8 }, (_, index) => String(from + index)));
  const byInstance =
    (answers: Readonly<Record<string, Answer>>): Answer =>
    (response, context) =>
      (Object.entries(answers).find(([id]) => context.query.includes(id))?.[1] ?? vector())(response, context);

  it("compares moved instances with untouched ones", async () => {
    routes.set(API, byInstance({ "web-1": spread(30), "web-8": spread(10) }));
    expect(await verdictOf(ask(compared()))).toEqual(["failed", expect.stringContaining("moved ones are higher by more than 10 %")]);
    routes.set(API, byInstance({ "web-1": spread(10), "web-8": spread(10) }));
    expect(await verdictOf(ask(compared()))).toEqual(["passed", expect.stringContaining("8 values of moved, 8 of untouched")]);
    routes.set(API, byInstance({ "web-1": spread(10) }));
    expect(await verdictOf(ask(compared()))).toEqual(["inconclusive", expect.stringContaining("too few values to compare, 5 are needed")]);
  });

  it("compares with what untouched ones said last, when too few are left, also when another process asks", async () => {
    const parts = { ...nobody, baselines: recorded() };
    const probes = gateProbes(parts);
    const gate = gateOf(compared());
    routes.set(API, byInstance({ "web-1": spread(30), "web-8": spread(10) }));
    expect(await verdictOf(probes.ask(gate, { moved: moved("web-1"), untouched: [] }, never))).toEqual([
      "inconclusive",
      "too few values to compare, 5 are needed on each side (8 values of moved, 0 of untouched)",
    ]);
    await probes.ask(gate, { moved: moved("web-1"), untouched: moved("web-8", "web-9") }, never);
    expect(await verdictOf(gateProbes(parts).ask(gate, { moved: moved("web-1", "web-8"), untouched: [] }, never))).toEqual([
      "failed",
      expect.stringMatching(/untouched ones as they were \d+ s ago, since too few are left$/),
    ]);
    routes.set(API, byInstance({ "web-1": spread(30), "web-9": vector("1", "2") }));
    expect(await verdictOf(probes.ask(gate, { moved: moved("web-1"), untouched: moved("web-9") }, never))).toEqual([
      "failed",
      expect.stringContaining("since too few are left"),
    ]);
    routes.set(API, byInstance({ "web-1": spread(30), "web-8": vector("1", "2") }));
    expect(await verdictOf(probes.ask(gate, { moved: moved("web-1"), untouched: moved("web-8", "web-9") }, never))).toEqual([
      "inconclusive",
      expect.stringContaining("8 values of moved, 2 of untouched"),
    ]);
    routes.set(API, byInstance({ "web-1": spread(30), "web-9": text("oops", 500) }));
    expect(await verdictOf(probes.ask(gate, { moved: moved("web-1"), untouched: moved("web-9") }, never))).toEqual([
      "error",
      expect.stringContaining("it answered 500"),
    ]);
    routes.set(API, byInstance({ "web-1": spread(30), "web-9": spread(40) }));
    expect(await verdictOf(probes.ask(gate, { moved: moved("web-1"), untouched: moved("web-9") }, never))).toEqual([
      "passed",
      expect.not.stringContaining("too few"),
    ]);
  });

  it("compares shares of failed requests", async () => {
    const counts = probe({
      wanted: { errors: 'errors{i=~"{{instances}}"}', requests: 'requests{i=~"{{instances}}"}' },
      expected: { compare: { worse: "up", tolerance: { by: 0 }, falseAlarmsPercent: 1, minSamples: 100 } },
    });
    const shares =
      (errors: Answer): Answer =>
      (response, context) => {
        const isErrors = context.query.startsWith("errors");
        const isMoved = context.query.includes("web-1");
        return (isErrors ? (isMoved ? errors : vector("10")) : vector("1000"))(response, context);
      };
    routes.set(API, shares(vector("20", "40.4")));
    expect(await verdictOf(ask(counts))).toEqual(["failed", expect.stringContaining("60 of 1000 requests to moved failed, 10 of 1000")]);
    routes.set(API, shares(vector()));
    expect(await verdictOf(ask(counts))).toEqual(["inconclusive", expect.stringContaining("there are no counts of errors")]);
  });

  it("is tried before the first wave", async () => {
    const probes = gateProbes(nobody);
    const fleet = moved("web-1", "web-2", "web-3", "web-4");
    routes.set(API, spread(10));
    expect(await verdictOf(probes.selfTest(gateOf(compared()), fleet, 1, never))).toEqual([
      "passed",
      expect.stringMatching(/^it gets data/),
    ]);
    expect(asked.slice(-2).map(({ query }) => query).toSorted()).toEqual([
      'rate(errors{instance=~"web-1"}[300s])',
      'rate(errors{instance=~"web-2|web-3|web-4"}[300s])',
    ]); // prettier-ignore
    expect(await verdictOf(probes.selfTest(gateOf(compared(9)), fleet, 1, never))).toEqual([
      "error",
      expect.stringContaining("too few values"),
    ]);
    expect(await verdictOf(probes.selfTest(gateOf(probe({ expected: { below: 100 } })), fleet, 9, never))).toEqual([
      "passed",
      expect.stringContaining("not below 100"),
    ]);
    expect(asked.at(-1)?.query).toBe('rate(errors{instance=~"web-1|web-2"}[300s])');
    routes.set(API, vector());
    expect(await verdictOf(probes.selfTest(gateOf(probe()), fleet, 1, never))).toEqual([
      "error",
      expect.stringContaining("it gets no data of instances"),
    ]);
    routes.delete(API);
    expect(await verdictOf(probes.selfTest(gateOf(probe()), fleet, 1, never))).toEqual([
      "error",
      expect.stringContaining("it answered 404"),
    ]);
    expect(await verdictOf(probes.selfTest(gateOf(probe()), [], 1, never))).toEqual(["error", "there is no instance that could be asked"]);
  });
});

it("windows are asked of the clock alone", async () => {
  const opens = { kind: "cron", cron: "0 0 * * *", every: { count: 1, unit: "days" }, from: "2024-01-01", zone: "UTC" } as const;
  const windows: GateProbe = { kind: "windows", windows: [{ opens, lastsMs: 86_400_000, cutoffMs: 0 }] };
  expect(await verdictOf(ask(windows, nobody, []))).toEqual(["passed", expect.stringContaining("the window is open until")]);
});

describe("lines of journals", () => {
  const probe = (lines = 100): GateProbe => ({ kind: "log", pattern: "panic", unit: "shop.service", atMost: 0, lines });
  const stamp = (agoMs: number): string => new Date(Date.now() - agoMs).toISOString().replace(/\.\d+Z$/, "+0000");
  const fleetOf = (journals: Readonly<Record<string, readonly string[] | "silent">>): GateProbeParts => ({
    ...nobody,
    fleet: {
      ...nobody.fleet,
      logs: (id, options) => {
        expect(options.unit).toBe("shop.service");
        const journal = journals[id];
        if (journal === "silent") return new Promise(() => undefined);
        return journal === undefined
          ? Promise.reject(new Error(`there is no instance ${id}`))
          : Promise.resolve(journal.slice(-options.lines));
      },
    },
  });

  it.each<[string, Readonly<Record<string, readonly string[]>>, number, string, string]>([
    ["none", { a: [`${stamp(1000)} a shop: well`] }, 100, "passed", "0 of 1 line match, at most 0 may"],
    ["one", { a: [`${stamp(1000)} a shop: panic: x`] }, 100, "failed", "shop: panic: x"],
    ["one of before the move", { a: [`${stamp(900_000)} a shop: panic`, `${stamp(1000)} a shop: well`] }, 100, "passed", "0 of 1 line"],
    ["only of before the move", { a: [`${stamp(900_000)} a shop: well`] }, 100, "error", "no line at all from a"],
    ["nothing", { a: [] }, 100, "error", "no line at all from a"],
    ["nobody", {}, 100, "error", "a: there is no instance a"],
    [
      "more than are read",
      { a: new Array<string>(9).fill(`${stamp(1000)} a shop: well`) },
      5,
      "inconclusive",
      "more than 5 lines since it was moved",
    ],
    [
      "more than are read, of which the oldest are from before",
      { a: [`${stamp(900_000)} a shop: panic`, ...new Array<string>(4).fill(`${stamp(1000)} a shop: well`)] },
      5,
      "passed",
      "0 of 4 lines",
    ],
  ])("%s", async (_, journals, lines, verdict, detail) => {
    expect(await verdictOf(ask(probe(lines), fleetOf(journals), ["a"]))).toEqual([verdict, expect.stringContaining(detail)]);
  });

  it("are stopped by the signal", async () => {
    const stop = new AbortController();
    const waiting = gateProbes(fleetOf({ a: "silent" })).ask(gateOf(probe()), { moved: moved("a"), untouched: [] }, stop.signal);
    stop.abort();
    expect(await verdictOf(waiting)).toEqual(["error", expect.stringContaining("the question was stopped")]);
  });

  it("are tried before the first wave, without regard to their time", async () => {
    const fleet = fleetOf({ a: [`${stamp(9_000_000)} a shop: well`], b: [] });
    expect(await verdictOf(gateProbes(fleet).selfTest(gateOf(probe(1)), [{ id: "a" }], 1, never))).toEqual([
      "passed",
      "it gets data and fails on bad data (1 of 2 lines match, at most 0 may: a: panic)",
    ]);
    expect(await verdictOf(gateProbes(fleet).selfTest(gateOf(probe()), [{ id: "b" }], 1, never))).toEqual([
      "error",
      "it cannot be asked: 0 of 0 lines match, at most 0 may; no line at all from b",
    ]);
  });
});
