import { describe, expect, test } from "vitest";
import { parseText } from "../../../test/fixture-steps.ts";
import { checks } from "../../checks/registry.ts";
import { checksOf, plannedChecks } from "../checks/declared-check.ts";
import { formatProblem } from "../errors.ts";

const parse = (text: string) => parseText(text, { checks });
const problems = (text: string): readonly string[] => parse(text).problems.map(formatProblem);

const LAYERS = (base: string, release: string, parameters = ""): string => `name: shop
${parameters}layers:
  foundation: { steps: [debian: { suite: bookworm }] }
  base:
    from: foundation
    steps: [run: x]
    checks:
${base}
  release:
    from: base
    steps: [run: y]
    image: { ports: [80] }
    checks:
${release}
`;

test("checks are read with their settings, and a layer has those of the layers below", () => {
  const { recipe } = parse(
    LAYERS(
      "      - service: { units: [ssh.service], settle: 1s }\n      - hygiene:",
      "      - http: /health\n        name: health\n        retries: 9\n        interval: 200ms\n        timeout: 1m\n      - service: [nginx.service]",
    ),
  );
  expect(recipe?.layers.map(({ name, checks: own }) => [name, own.map(({ id }) => id)])).toEqual([
    ["foundation", []],
    ["base", ["service", "hygiene"]],
    ["release", ["http", "service"]],
  ]);
  expect(checksOf(recipe?.layers ?? [])).toMatchObject([
    { check: "service", name: "service", layer: "base", options: { units: ["ssh.service"], settle: "1s" } },
    { check: "hygiene", name: "hygiene", layer: "base" },
    { check: "http", name: "health", layer: "release", options: "/health", retries: 9, intervalMs: 200, timeoutMs: 60_000 },
    { check: "service", name: "service-2", layer: "release" },
  ]);
});

test("one check may stand in the place of another, and the plan says so", () => {
  const { recipe } = parse(
    LAYERS("      - port-closed: [22]\n        name: ports", "      - port-closed: [22, 80]\n        name: ports\n        replaces: ports"),
  );
  expect(plannedChecks(recipe?.layers ?? [])).toEqual([
    { check: "port-closed", name: "ports", layer: "release", inherited: false, replaces: "ports" },
  ]);
});

test("parameters are filled in, and a layer does not depend on those that only checks use", () => {
  const { recipe, problems: found } = parse(
    LAYERS("      - hygiene:", '      - http: { path: /, port: "{{port}}" }', "parameters: { port: 8080 }\n"),
  );
  expect(found).toEqual([]);
  expect(recipe?.layers.at(-1)).toMatchObject({ parameters: [], checks: [{ options: { port: 8080 } }] });
});

describe("mistakes", () => {
  test.each([
    ["      - htpp: /health", 'unknown check "htpp" (did you mean "http"?)'],
    ["      - http: { pth: / }", 'unknown key "pth" (did you mean "path"?)'],
    ["      - http: /a\n        tcp: 80", "stand in one check"],
    ["      - http: /a\n        retry: 3", 'unknown key "retry" beside "http"'],
    ["      - http: /a\n        timeout: 2h", "must be more than nothing and at most 1h"],
    ["      - http: /a\n        retries: -1", "must be at least 0"],
    ["      - http", "expected a mapping such as `http: …`"],
    ["      - tcp: 80\n        name: Web", "use lower-case letters"],
    ["      - tcp: 80\n        name: a\n      - tcp: 81\n        name: a", 'another check of the layer is called "a"'],
    ["      - service: nginx", "is no systemd unit such as nginx.service"],
    ["      - port-closed: [80]\n        replaces: prots", 'no layer below has a check "prots" (did you mean "ports"?)'],
    ["      - tcp: 80\n        replaces: ports", "is of type port-closed (only another port-closed can replace it)"],
    ["      - port-closed: [80]\n        name: ports", 'layer "base" has a check "ports" already, and it holds here, too'],
    ["      - script: /etc/passwd", "must be relative to the recipe's folder"],
  ])("%s", (release, message) => {
    const found = problems(LAYERS("      - port-closed: [22]\n        name: ports", release));
    expect(found.join("\n")).toContain(message);
    expect(found[0]).toMatch(/^r:\d+:\d+: /);
  });

  test("are told all at once", () => {
    expect(problems(LAYERS("      - htpp: /", "      - tcp: 99999\n      - hygiene: { skip: [keys] }"))).toHaveLength(3);
  });
});
