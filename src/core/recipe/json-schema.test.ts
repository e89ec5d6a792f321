import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { fixtureSteps, parseText } from "../../../test/fixture-steps.ts";
import { generateSchema, recipeJsonSchema } from "./json-schema.ts";
import { readYaml } from "./read-yaml.ts";

const validate = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true }).compile(
  recipeJsonSchema(fixtureSteps),
);

const steps = (text: string): string => `{ name: a, layers: { b: { from: image:c, steps: [${text}] } } }`;
const layer = (text: string): string => `{ name: a, layers: { b: { from: image:c, steps: [run: x], ${text} } } }`;
const top = (text: string): string => `{ name: a, layers: { b: { from: image:c, steps: [run: x] } }, ${text} }`;

/** What a schema can say: here it and the parser agree. */
const GOOD: readonly string[] = [
  steps("run: x"),
  steps("run: { script: x, shell: bash, environment: { A: b } }"),
  steps("{ apt: [curl], name: x, timeout: 1h30m, network: recorded }"),
  steps("{ run: x, network: true }, { run: x, network: none }, { run: x, network: false }"),
  steps("system: "),
  steps("system: {}"),
  steps("copy: { from: a, to: /b, mode: '0644', template: true }"),
  steps("unit: { action: mask, unit: a }"),
  steps("sysctl: { a: 1, b: c }"),
  steps("anything: { vars: { a: [1, { b: null }], c: true } }"),
  steps("anything:"),
  layer("image: { entry: a.service, ports: [80, 53/udp], users: [a], labels: { a: b } }"),
  layer("release: layer, description: x"),
  layer("release: { volume: /srv/a }"),
  "{ name: a, layers: { b: { steps: [debian: { suite: bookworm }] } } }",
  "{ name: a, layers: { b: { from: { image: c } } } }",
  top("x-anything: [1]"),
  top("cake: baked, description: x, foundation: {}, parameters: {}, secrets: {}, repositories: {}"),
  top("foundation: { builder: mmdebstrap }"),
  top(
    "channels: { dev: , qa: { checks: all, minTime: 1d2h }, prod: { checks: { cell: [a], vm: all }, approvals: { count: 2, by: [a, b@c] } } }",
  ),
  top(
    "channels: { dev: { freeze: [{ cron: '0 0 * * 1', duration: 1d, zone: UTC }], sbom: { forbidPackages: [x], securityUpdates: 3d } } }",
  ),
  top(
    "fleets: { shop: { size: 6, zones: [a, b], pinned: a/b, health: { http: /, interval: 1s }, traffic: { listen: 8080, backend: 80 }, launch: { environment: { A: b } } } }",
  ),
  top(
    "fleets: { web: { provider: ssh, pinned: a/b, identity: k, health: { tcp: 80 }, traffic: { drain: [a], admit: [b] }, hosts: [{ name: w, address: h, hostKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB', labels: { rack: r1 } }] } }",
  ),
  top("parameters: { p: { type: string, default: x, pattern: x, description: y } }"),
  top("parameters: { p: { type: number, default: 3, min: 1, max: 4, enum: [3, 4] } }"),
  top("parameters: { p: x, q: 1, r: true }"),
  top("secrets: { s: { env: A }, t: { file: b } }"),
  top(
    "repositories: { r: { url: 'file:x', suites: [a], trusted: true }, s: { url: 'http://h/', suites: [a], components: [b], key: k, priority: 990 } }",
  ),
  `{ name: a, parameters: { n: { type: number, default: 80 }, t: { type: boolean, default: true }, s: { type: string, default: "0644" } }, layers: { b: { from: "image:{{s}}", steps: [listen: { port: "{{n}}", tls: "{{ t }}" }, copy: { from: a, to: "/{{s}}", mode: "{{s}}" }], image: { ports: ["{{n}}"], labels: { l: "{{s}}" } } } } }`,
];

const BAD: readonly string[] = [
  "[]",
  "text",
  "{}",
  "{ name: a }",
  "{ name: a, layers: {} }",
  "{ name: A b, layers: { b: { from: image:c } } }",
  "{ name: 1, layers: { b: { from: image:c } } }",
  "{ name: a, layers: { B: { from: image:c } } }",
  "{ name: a, layers: { b: } }",
  "{ name: a, layers: [b] }",
  top("nmae: b"),
  top("cake: half"),
  top("foundation: { builder: x }"),
  top("foundation: own"),
  top("fleets: [shop]"),
  top("fleets: { shop: }"),
  top("fleets: { shop: { size: 0, pinned: a, health: { tcp: 80 } } }"),
  top("fleets: { shop: { size: 1, pinned: a, health: { tpc: 80 } } }"),
  top("fleets: { shop: { size: 1, pinned: a } }"),
  top("fleets: { shop: { pinned: a, health: { tcp: 80 } } }"),
  top("fleets: { shop: { size: 1, pinned: a, health: { tcp: 80 }, identity: k } }"),
  top("fleets: { web: { provider: ssh, pinned: a, health: { tcp: 80 }, identity: k } }"),
  top("fleets: { web: { provider: ssh, pinned: a, health: { tcp: 80 }, identity: k, hosts: [] } }"),
  top(
    "fleets: { web: { provider: ssh, pinned: a, health: { tcp: 80 }, identity: k, hosts: [{ name: w, address: -oProxyCommand=x, hostKey: k }] } }",
  ),
  top("channels: [dev]"),
  top("channels: { Dev: }"),
  top("channels: { dev: all }"),
  top("channels: { dev: { check: all } }"),
  top("channels: { dev: { checks: { pod: all } } }"),
  top("channels: { dev: { approvals: 0 } }"),
  top("channels: { dev: , qa: { minTime: 3 } }"),
  top("parameters: { p: [x] }"),
  top("parameters: { p: }"),
  top("parameters: { p: {} }"),
  top("parameters: { p: { type: text, default: x } }"),
  top("parameters: { 1p: { type: string, default: x } }"),
  top("parameters: { p: { type: string, default: x, enum: [] } }"),
  top("secrets: { s: {} }"),
  top("secrets: { s: { env: A, file: b } }"),
  top("secrets: { s: { env: 'A B' } }"),
  top("secrets: { s: value }"),
  top("repositories: { r: { suites: [a], trusted: true } }"),
  top("repositories: { r: { url: 'http://h/', suites: [], key: k } }"),
  top("repositories: { r: { url: 'http://h/', suites: [a], key: k, priority: high } }"),
  layer("form: x"),
  layer("image: { entry: nginx }"),
  layer("image: { ports: [0] }"),
  layer("image: { ports: [70000] }"),
  layer("image: { ports: 80 }"),
  layer("image: { labels: { a: 1 } }"),
  layer("release: volume"),
  layer("release: { volume: srv }"),
  layer("release: { path: /srv }"),
  "{ name: a, layers: { b: { from: 1 } } }",
  "{ name: a, layers: { b: { from: image:c, steps: { run: x } } } }",
  steps("rnu: x"),
  steps("apt"),
  steps("{}"),
  steps("name: x"),
  steps("{ run: x, apt: [y] }"),
  steps("{ run: x, timeout: 10 }"),
  steps("{ run: x, timeout: 10 minutes }"),
  steps("{ run: x, network: some }"),
  steps("{ run: x, secrets: a }"),
  steps("{ run: x, name: A B }"),
  steps("run: 1"),
  steps("run: { scrpt: x }"),
  steps("run: { script: x, shell: zsh }"),
  steps("run: "),
  steps("apt: []"),
  steps("apt: curl"),
  steps("apt: { packages: [1] }"),
  steps("copy: { from: a }"),
  steps("copy: { from: a, to: /b, mode: x }"),
  steps("listen: { port: x }"),
  steps("listen: { port: 1.5 }"),
  steps("listen: { port: 1, tls: yes }"),
  steps("system: { limit: 11 }"),
  steps("unit: { action: stop, unit: a }"),
  steps("unit: { action: mask }"),
  steps("sysctl: { a: [1] }"),
];

const schemaAccepts = (text: string): boolean => validate(readYaml(text, "r").value);
const parserAccepts = (text: string): boolean => parseText(text).recipe !== undefined;

describe("the JSON Schema and the parser", () => {
  it.each(GOOD)("both take %s", (text) => {
    expect(parseText(text).problems.filter(({ severity }) => severity === "error")).toEqual([]);
    schemaAccepts(text);
    expect(validate.errors ?? []).toEqual([]);
  });

  it.each(BAD)("both refuse %s", (text) => {
    expect({ parser: parserAccepts(text), schema: schemaAccepts(text) }).toEqual({ parser: false, schema: false });
  });
});

describe("generateSchema", () => {
  const schema = recipeJsonSchema(fixtureSteps) as {
    readonly $defs: Record<string, { readonly properties?: Record<string, { readonly description?: string }> }>;
  };

  it("describes every step, every option and every setting", () => {
    for (const id of fixtureSteps.keys()) expect(schema.$defs[`step-${id}`]).toBeDefined();
    expect(schema.$defs["step"]?.properties?.["timeout"]?.description).toMatch(/10m/);
    expect(schema.$defs["step-copy"]?.properties?.["from"]?.description).toBe("Source in the recipe's folder");
  });

  it("is the same text each time and ends with one newline", () => {
    expect(generateSchema(fixtureSteps, new Map())).toBe(generateSchema(fixtureSteps, new Map()));
    expect(generateSchema(fixtureSteps, new Map())).toMatch(/\}\n$/);
  });
});
