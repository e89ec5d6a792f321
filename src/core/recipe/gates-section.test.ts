import { describe, expect, it } from "vitest";
import type { RolloutGate } from "../gates/model.ts";
import { gateSchema, readGates, secretsOfGates } from "./gates-section.ts";
import { Inspection } from "./inspect.ts";
import { readYaml } from "./read-yaml.ts";

function read(text: string, port?: number): { readonly gates: readonly RolloutGate[]; readonly told: readonly string[] } {
  const yaml = readYaml(`gates:\n${text}\n`, "bakehouse.yaml");
  const inspection = new Inspection(yaml, "bakehouse.yaml");
  const { gates } = yaml.value as { gates: unknown };
  const context = { secrets: ["metrics-token"], ...(port === undefined ? {} : { port }) };
  return {
    gates: readGates(inspection, gates, ["gates"], context),
    told: [...yaml.problems, ...inspection.problems].map(
      ({ line, column, message, hint }) => `${line}:${column}: ${message}${hint === undefined ? "" : ` (${hint})`}`,
    ),
  };
}

/** A gate on one line. */
const gate = (rest: string): string => `  - { name: g, onError: hold, onInconclusive: halt, ${rest} }`;
const PROMETHEUS = "server: http://metrics:9090";

describe("gates of a recipe", () => {
  it("have what is left out filled in", () => {
    const { gates, told } = read(
      [
        gate("http: { path: /stats, value: queue.depth, below: 100 }"),
        gate(`prometheus: { ${PROMETHEUS}/, query: up, above: 0 }`).replace("name: g", "name: up"),
        gate("log: { pattern: panic }").replace("name: g", "name: panics"),
        gate(`prometheus: { ${PROMETHEUS}, query: 'x{i=~"{{instances}}"}', compare: { worse: up } }`).replace("name: g", "name: x"),
      ].join("\n"),
    );
    expect(told).toEqual([]);
    const common = { onError: "hold", onInconclusive: "halt" };
    expect(gates).toEqual([
      {
        ...{ name: "g", ...common },
        probe: {
          kind: "http",
          at: { path: "/stats", port: 80 },
          wanted: { value: "queue.depth" },
          expected: { below: 100 },
          timeoutMs: 10_000,
        },
      },
      {
        ...{ name: "up", ...common },
        probe: {
          ...{ kind: "prometheus", server: "http://metrics:9090", headers: {}, wanted: { value: "up" }, expected: { above: 0 } },
          ...{ windowMs: 300_000, timeoutMs: 10_000 },
        },
      },
      { ...{ name: "panics", ...common }, probe: { kind: "log", pattern: "panic", atMost: 0, lines: 2000 } },
      {
        ...{ name: "x", ...common },
        probe: {
          ...{ kind: "prometheus", server: "http://metrics:9090", headers: {}, wanted: { value: 'x{i=~"{{instances}}"}' } },
          expected: { compare: { worse: "up", tolerance: { by: 0 }, falseAlarmsPercent: 1, minSamples: 10 } },
          ...{ windowMs: 300_000, timeoutMs: 10_000 },
        },
      },
    ]);
  });

  it("are read whole", () => {
    const { gates, told } = read(
      `  - name: latency
    onError: halt
    onInconclusive: hold
    again: { every: 30s, failed: 1, error: 3 }
    http:
      url: http://{{address}}/{{instance}}/stats
      errors: http.errors
      requests: http["all requests"]
      compare: { worse: either, tolerance: 25%, falseAlarms: 0.5%, minSamples: 500 }
      headers: { accept: text/json, authorization: { secret: metrics-token } }
      timeout: 2s
  - name: panics
    onError: hold
    onInconclusive: hold
    log: { pattern: 'panic|\\bOOM', unit: shop@1.service, atMost: 2, lines: 500, example: "panic: no stock" }`,
      8000,
    );
    expect(told).toEqual([]);
    expect(gates).toEqual([
      {
        ...{ name: "latency", onError: "halt", onInconclusive: "hold" },
        again: { everyMs: 30_000, allowed: { failed: 1, error: 3, inconclusive: 0 } },
        probe: {
          kind: "http",
          at: {
            url: "http://{{address}}/{{instance}}/stats",
            headers: { accept: "text/json", authorization: { secret: "metrics-token" } },
          },
          wanted: { errors: "http.errors", requests: 'http["all requests"]' },
          expected: { compare: { worse: "either", tolerance: { percent: 25 }, falseAlarmsPercent: 0.5, minSamples: 500 } },
          timeoutMs: 2000,
        },
      },
      {
        ...{ name: "panics", onError: "hold", onInconclusive: "hold" },
        probe: { kind: "log", pattern: "panic|\\bOOM", unit: "shop@1.service", atMost: 2, lines: 500, example: "panic: no stock" },
      },
    ]);
    expect(secretsOfGates(gates)).toEqual(["metrics-token"]);
  });

  it("tell every mistake at once, each with its place", () => {
    const { gates, told } = read(`  - nam: latency
    onEror: hold
    onInconclusive: continue
    again: { evry: 30s, failed: -1 }
    http:
      pth: /stats
      value: a..b
      belw: 5
      timeout: soon
  - name: errors
    onError: hold
    promtheus: { server: http://metrics:9090 }
  - name: errors
    onError: hold
    onInconclusive: hold
    prometheus:
      server: metrics:9090
      query: sum(x{instance=~"{{instance}}"}[{{windw}}])
      headers: { authorization: { secret: metrics-tokn } }
      compare: { worse: upp, tolerance: a lot, falseAlarms: 50% }`);
    expect(gates).toEqual([]);
    expect(told).toEqual([
      '2:5: gates[0]: unknown key "nam" (did you mean "name"?)',
      '3:5: gates[0]: unknown key "onEror" (did you mean "onError"?)',
      '4:21: gates[0].onInconclusive: must be "hold" or "halt": to go on is not possible',
      '5:14: gates[0].again: unknown key "evry" (did you mean "every"?)',
      "5:33: gates[0].again.failed: must be at least 0, found -1",
      '7:7: gates[0].http: unknown key "pth" (did you mean "path"?)',
      '9:7: gates[0].http: unknown key "belw" (did you mean "below"?)',
      '8:14: gates[0].http.value: must be a path into JSON, such as http.errors or a[0]["b.c"]',
      "10:16: gates[0].http.timeout: must be a time such as 500ms, 30s or 5m, at most 24h",
      '13:5: gates[1]: unknown key "promtheus" (did you mean "prometheus"?)',
      '11:5: gates[1]: "onInconclusive" is missing (When the answers do not decide: hold or halt)',
      "18:15: gates[2].prometheus.server: must be an http or https URL without a password",
      '21:25: gates[2].prometheus.compare.worse: expected "up", "down" or "either", found "upp" (did you mean "up"?)',
      "21:41: gates[2].prometheus.compare.tolerance: must be a number, or a share such as 10%",
      "21:61: gates[2].prometheus.compare.falseAlarms: must be a share such as 1% or 0.5%, more than 0 and at most 20%",
      '19:14: gates[2].prometheus.query: nothing is known to put in for {{instance}} (did you mean "instances"?)',
      '19:14: gates[2].prometheus.query: nothing is known to put in for {{windw}} (did you mean "window"?)',
      '20:43: gates[2].prometheus.headers.authorization.secret: there is no secret "metrics-tokn" (did you mean "metrics-token"?)',
      '14:11: gates[2].name: there is a gate "errors" already',
    ]);
  });

  it.each([
    ["  {}", "gates: expected a list, found a mapping"],
    ["  - latency", 'gates[0]: expected a mapping, found "latency"'],
    ["  - { name: g, onInconclusive: hold, log: { pattern: a } }", '"onError" is missing'],
    [gate("again: { failed: 1 }, log: { pattern: a }"), '"every" is missing'],
    [gate("description: x").replace(", description: x", ""), "needs exactly one of http, prometheus, log, windows and approvals"],
    [
      gate(`log: { pattern: a }, prometheus: { ${PROMETHEUS}, query: up, above: 0 }`),
      "needs exactly one of http, prometheus, log, windows and approvals",
    ],
    [gate("http: { path: /a, value: b }"), "needs exactly one of below, above, between and compare"],
    [gate("http: { path: /a, value: b, below: 1, above: 0 }"), "needs exactly one of below, above, between and compare"],
    [gate("http: { value: b, below: 1 }"), "needs exactly one of url and path"],
    [gate("http: { path: /a, url: http://b/, value: b, below: 1 }"), "needs exactly one of url and path"],
    [gate("http: { path: /a, below: 1 }"), "needs value, or both errors and requests"],
    [gate("http: { path: /a, value: b, errors: c, requests: d, compare: { worse: up } }"), "needs value, or both errors and requests"],
    [gate("http: { path: /a, errors: c, compare: { worse: up } }"), "needs value, or both errors and requests"],
    [gate("http: { path: /a, errors: c, requests: d, below: 1 }"), "errors and requests can only be compared"],
    [gate("http: { url: http://b/, port: 5, value: b, below: 1 }"), "gates[0].http.port: is not possible with url"],
    [gate("http: { path: /a, headers: { a: b }, value: b, below: 1 }"), "gates[0].http.headers: is not possible with path"],
    [gate('http: { url: "http://u:p@b/", value: b, below: 1 }'), "must be an http or https URL without a password"],
    [gate("http: { url: http://b/, value: b, compare: { worse: up } }"), "is the same for moved and untouched instances"],
    [gate(`prometheus: { ${PROMETHEUS}, query: up, compare: { worse: up } }`), "is the same for moved and untouched instances"],
    [gate("http: { path: /a, value: b, between: [2, 1] }"), "has nothing in it"],
    [gate("http: { path: /a, value: b, below: .inf }"), "gates[0].http.below"],
    [
      gate("http: { path: /a, errors: b, requests: c, compare: { worse: up, tolerance: 5 } }"),
      "must be a share where requests are counted",
    ],
    [gate('log: { pattern: "(" }'), "is no regular expression"],
    [gate('log: { pattern: "(a)\\\\1" }'), "which is not possible here"],
    [gate("log: { pattern: a, unit: 'a; b' }"), "must be the name of a systemd unit"],
    [gate("windows: { opens: every day at 22:00, lasts: 2h }"), "gates[0].windows: expected a list, found a mapping"],
    [gate("windows: []"), "gates[0].windows: must not be empty"],
    [gate("windows: [{ opens: every day at 22:00, lasts: 2h, cutoff: 3h }]"), "gates[0].windows[0].cutoff: leaves nothing of the window"],
    [gate("log: a"), "gates[0].log: expected a mapping"],
    [gate("log: { pattern: a, lines: 0 }"), "must be at least 1"],
  ])("tell what is wrong with %j", (text, message) => {
    const { gates, told } = read(text);
    expect(told.join("\n")).toContain(message);
    expect(told).toHaveLength(1);
    expect(gates.length).toBeLessThanOrEqual(1);
  });

  it("may be maintenance windows", () => {
    const { gates, told } = read(gate("windows: [{ opens: { cron: 0 22 * * SAT, zone: Europe/Warsaw }, lasts: 4h, cutoff: 1h }]"));
    expect(told).toEqual([]);
    expect(gates[0]).toMatchObject({
      probe: {
        kind: "windows",
        windows: [{ opens: { kind: "cron", cron: "0 22 * * SAT", zone: "Europe/Warsaw" }, lastsMs: 14_400_000, cutoffMs: 3_600_000 }],
      },
    });
  });

  it("may be approvals of people", () => {
    expect(read(gate("approvals: {}"))).toMatchObject({ told: [], gates: [{ people: { approvals: 1 } }] });
    const { gates, told } = read(gate("approvals: { count: 2, waves: [1, 3], within: 2d }"));
    expect(told).toEqual([]);
    expect(gates[0]).toMatchObject({ people: { approvals: 2, waves: [1, 3], withinMs: 172_800_000 } });
  });

  it("waits for approvals once, and for as long as it says", () => {
    const { told } = read(gate("approvals: { count: 0, within: 0h }, again: { every: 1m }"));
    expect(told).toHaveLength(3);
    expect(told.join("\n")).toContain("again: is not possible with approvals");
  });

  it("have a shape for editors", () => {
    expect(gateSchema.safeParse({ name: "a", onError: "hold", onInconclusive: "halt", log: { pattern: "b" } }).success).toBe(true);
    expect(gateSchema.safeParse({ name: "a", onError: "continue", onInconclusive: "halt", log: { pattern: "b" } }).success).toBe(false);
  });
});
