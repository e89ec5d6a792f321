import { describe, expect, it } from "vitest";
import { steps } from "../../steps/registry.ts";
import { parseRecipe } from "./parse-recipe.ts";

const parse = (fleets: string) =>
  parseRecipe({
    text: `name: shop
secrets: { licence: { env: LICENCE } }
channels: { dev: , prod: }
layers:
  release: { steps: [{ debian: { suite: bookworm } }] }
fleets:
${fleets}
`,
    file: "/r/bakehouse.yaml",
    folder: "/r",
    shownAs: "bakehouse.yaml",
    steps,
  });

const told = (fleets: string) =>
  parse(fleets).problems.map(
    (problem) => `${problem.line}:${problem.column}: ${problem.message}${problem.hint === undefined ? "" : ` (${problem.hint})`}`,
  );

/** A fleet on one line, with what is wrong put in. */
const fleet = (more: string): string => `  shop: { size: 1, layer: release, channel: prod, health: { tcp: 80 }, ${more} }`;

describe("fleets of a recipe", () => {
  it("have what is left out filled in", () => {
    expect(told("  shop: { size: 3, layer: release, channel: prod, health: { http: /health } }")).toEqual([
      "2:12: secrets.licence: no step uses this secret (a step asks for it with `secrets: [licence]`)",
    ]);
    expect(parse("  shop: { size: 3, layer: release, channel: prod, health: { http: /health } }").recipe?.fleets).toEqual([
      {
        name: "shop",
        provider: "local",
        size: 3,
        zones: ["local"],
        runs: { layer: "release", channel: "prod" },
        health: {
          probe: { kind: "http", path: "/health", port: 80 },
          intervalMs: 2000,
          timeoutMs: 2000,
          healthyAfter: 2,
          unhealthyAfter: 3,
        },
        launch: { files: {}, credentials: {}, environment: {} },
        first: [],
        neverFirst: [],
        freeze: [],
        windows: [],
        newRelease: "refuse",
        secrets: [],
      },
    ]);
  });

  it("are read whole", () => {
    const { recipe, problems } = parse(`  shop:
    description: What customers see
    provider: local
    size: 6
    zones: [a, b, c]
    pinned: shop/release@prod
    health: { http: { path: /health }, interval: 500ms, timeout: 1s, healthy: 1, unhealthy: 4 }
    traffic: { listen: 8080, backend: 8000 }
    launch:
      files: { /etc/shop/name: blue }
      credentials: { api: "1" }
      environment: { SHOP_MODE: sale }
    secrets: [licence]
  batch: { size: 1, layer: release, channel: dev, health: { command: [systemctl, is-active, shop] } }`);
    expect(problems).toEqual([]);
    expect(recipe?.fleets).toMatchObject([
      {
        name: "shop",
        description: "What customers see",
        size: 6,
        zones: ["a", "b", "c"],
        runs: { pinned: "shop/release@prod" },
        // asked where traffic goes, unless it says otherwise
        health: {
          probe: { kind: "http", path: "/health", port: 8000 },
          intervalMs: 500,
          timeoutMs: 1000,
          healthyAfter: 1,
          unhealthyAfter: 4,
        },
        traffic: { listen: 8080, backend: 8000 },
        launch: { files: { "/etc/shop/name": "blue" }, credentials: { api: "1" }, environment: { SHOP_MODE: "sale" } },
        first: [],
        neverFirst: [],
        freeze: [],
        windows: [],
        newRelease: "refuse",
        secrets: ["licence"],
      },
      { name: "batch", health: { probe: { kind: "command", argv: ["systemctl", "is-active", "shop"] } } },
    ]);
  });

  it("tell every mistake at once, each with its place", () => {
    const problems = told(`  shop:
    sise: 6
    layer: relaese
    channel: prd
    health: { htp: /health, interval: soon }
    launch: { environment: { A-B: x } }
    secrets: [license]`);
    expect(problems).toEqual(
      expect.arrayContaining([
        '8:5: fleets.shop: unknown key "sise" (did you mean "size"?)',
        '9:12: fleets.shop.layer: there is no layer "relaese" (did you mean "release"?)',
        '10:14: fleets.shop.channel: there is no channel "prd" (did you mean "prod"?)',
        '11:15: fleets.shop.health: unknown key "htp" (did you mean "http"?)',
        expect.stringMatching(/^11:39: fleets\.shop\.health\.interval: .*must be a time such as 500ms/) as string,
        expect.stringMatching(/^12:.*must be the name of an environment variable/) as string,
        '13:15: fleets.shop.secrets[0]: there is no secret "license" (did you mean "licence"?)',
      ]),
    );
  });

  it("leave what is baked as it is", () => {
    const without = parse("  {}").recipe;
    const { fleets, ...rest } = parse(fleet("launch: { environment: { MODE: sale } }")).recipe ?? {};
    expect(fleets).toHaveLength(1);
    expect(rest).toEqual(without);
  });

  it.each([
    ["  Shop: { size: 1, layer: release, channel: prod, health: { tcp: 80 } }", "use lower-case letters"],
    ["  shop: [a]", "fleets.shop: expected a mapping, found a list"],
    ["  shop: { size: 0, layer: release, channel: prod, health: { tcp: 80 } }", "fleets.shop.size"],
    ["  shop: { size: 1, layer: release, channel: prod }", '"health" is missing'],
    ["  shop: { size: 1, layer: release, health: { tcp: 80 } }", "not clear which image"],
    ["  shop: { size: 1, health: { tcp: 80 } }", "not clear which image"],
    [fleet("pinned: shop/release"), "not clear which image"],
    [fleet("provider: cloud"), "fleets.shop.provider"],
    [fleet("zones: [a, a]"), "names a zone twice"],
    [fleet("traffic: { listen: 80 }"), "backend"],
    [fleet("launch: { files: { etc/shop: x } }"), "must be an absolute path"],
    [fleet("secrets: [licence], launch: { credentials: { licence: x } }"), 'launch.credentials has a "licence" too'],
    ["  shop: { size: 1, layer: release, channel: prod, health: { tcp: 80, http: / } }", "exactly one of http, tcp and command"],
    [
      `${fleet("traffic: { listen: 81, backend: 80 }")}\n${fleet("traffic: { listen: 81, backend: 80 }").replace("shop", "two")}`,
      'fleets.two.traffic.listen: fleet "shop" listens on 81 already',
    ],
  ])("tells what is wrong with %j", (fleets, message) => {
    const problems = told(fleets);
    expect(problems.join("\n")).toContain(message);
    expect(problems).toHaveLength(1);
  });

  it("are virtual machines with as much memory as they say", () => {
    const vm = (more: string) => `  shop: { provider: vm, size: 2, layer: release, channel: prod, health: { tcp: 80 }${more} }`;
    expect(parse(vm("")).recipe?.fleets).toMatchObject([{ provider: "vm", size: 2, memoryMiB: 512, zones: ["local"], secrets: [] }]);
    expect(parse(vm(", memory: 2G, traffic: { listen: 8080, backend: 80 }")).recipe?.fleets).toMatchObject([
      { memoryMiB: 2048, traffic: { listen: 8080, backend: 80 } },
    ]);
    const problems = told(vm(", memory: much, sise: 1, zones: [a, a], secrets: [license]"));
    expect(problems.join("\n")).toMatch(/memory: .*must be a size such as 512M or 2G/);
    expect(problems.join("\n")).toContain('unknown key "sise"');
    expect(problems.join("\n")).toContain("names a zone twice");
    expect(problems.join("\n")).toContain('there is no secret "license"');
  });

  it.each(["64M", "65G", "512", "1.5G", "0M"])("have no memory of %s", (memory) =>
    expect(told(fleet(`provider: vm, memory: ${memory}`)).join("\n")).toContain("must be a size such as"),
  );
});
