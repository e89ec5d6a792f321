import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatProblem } from "../errors.ts";
import { fixtureSteps, parseText } from "../../../test/fixture-steps.ts";
import { recipeToYaml } from "./builder.ts";
import { MAX_PROBLEMS } from "./problems.ts";
import { MAX_RECIPE_BYTES } from "./read-yaml.ts";

const RECIPE = `name: shop
parameters: { version: { type: string, default: "1" }, port: { type: number, default: 80 } }
repositories: { vendor: { url: "file:apt", suites: [stable], trusted: true } }
secrets: { licence: { env: LICENCE } }
x-tools: &tools [curl, jq]
layers:
  foundation: { steps: [debian: { suite: bookworm }] }
  base:
    from: foundation
    steps:
      - apt: *tools
      - name: harden
        run: { script: "echo {{version}}", environment: { A: "{{port}}" } }
        secrets: [licence]
      - listen: { port: "{{port}}" }
      - unit: { action: mask, unit: a }
  release: { from: base, release: { volume: /srv/a }, steps: [copy: { from: a, to: /b }], image: { ports: [80] } }
`;

/** Whatever the text is: no exception, either a recipe or an error, every problem has a place inside the text and reads as one line. */
function holds(text: string): void {
  const { recipe, problems } = parseText(text);
  expect(recipe === undefined).toBe(problems.some((problem) => problem.severity === "error"));
  expect(problems.length).toBeLessThanOrEqual(MAX_PROBLEMS + 1);
  const lines = text.split(/\r\n|\n|\r/).length;
  for (const problem of problems) {
    expect(problem.message.trim()).not.toBe("");
    expect(formatProblem(problem)).not.toMatch(/\n|undefined|\[object|Invalid input|\0/);
    expect(problem.line ?? 1).toBeGreaterThanOrEqual(1);
    expect(problem.line ?? 1).toBeLessThanOrEqual(lines);
    expect(problem.column ?? 1).toBeGreaterThanOrEqual(1);
  }
}

describe("a recipe that is damaged", () => {
  it("is right to begin with", () => {
    expect(parseText(RECIPE).problems).toEqual([]);
  });

  it("may be cut off at any place", () => {
    for (let length = 0; length < RECIPE.length; length += 2) holds(RECIPE.slice(0, length));
  });

  it("may lack any line", () => {
    const lines = RECIPE.split("\n");
    for (const index of lines.keys()) holds(lines.toSpliced(index, 1).join("\n"));
  });

  it("may have any character in any place", () => {
    const piece = fc.constantFrom(
      ..."{}[]:,-#&*!|>'\"%@`?\n\r\t \0\\~<",
      "<<: ",
      "{{",
      "}}",
      "- ",
      "? ",
      "---\n",
      "...\n",
      "\uFFFD",
      "\u2028",
      "__proto__: ",
      "null",
      "0644",
      "&a *a",
    );
    fc.assert(
      fc.property(fc.nat(RECIPE.length), fc.nat(6), fc.array(piece, { maxLength: 3 }), (at, cut, pieces) =>
        holds(RECIPE.slice(0, at) + pieces.join("") + RECIPE.slice(at + cut)),
      ),
      { numRuns: 500 },
    );
  });

  it("may be no recipe at all", () => {
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 200 }), holds), { numRuns: 500 });
    const yamlish = fc
      .array(
        fc.constantFrom(
          "a",
          "b",
          ": ",
          "\n",
          "  ",
          "- ",
          "[",
          "]",
          "{",
          "}",
          ",",
          "&x ",
          "*x",
          "|",
          ">",
          '"',
          "'",
          "#",
          "layers",
          "steps",
          "run",
          "{{a}}",
        ),
        { maxLength: 60 },
      )
      .map((parts) => parts.join(""));
    fc.assert(fc.property(yamlish, holds), { numRuns: 400 });
  });

  it("may have any value anywhere", () => {
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom("{{version}}", "{{port}}", "{{nope}}", "constructor", "toString"),
    );
    const places: readonly ((value: unknown) => unknown)[] = [
      (v) => v,
      (v) => ({ name: v, layers: {} }),
      ...["description", "cake", "foundation", "parameters", "repositories", "secrets", "layers"].map((key) => (v: unknown) => ({
        name: "a",
        layers: { b: { from: "image:c" } },
        [key]: v,
      })),
      ...["parameters", "repositories", "secrets", "layers"].map((key) => (v: unknown) => ({
        name: "a",
        layers: { b: { from: "image:c" } },
        [key]: { d: v },
      })),
      ...["from", "steps", "image", "release"].map((key) => (v: unknown) => ({ name: "a", layers: { b: { from: "image:c", [key]: v } } })),
      ...[...fixtureSteps.keys(), "name", "timeout", "network", "secrets"].map((key) => (v: unknown) => ({
        name: "a",
        layers: { b: { from: "image:c", steps: [{ system: {}, [key]: v }] } },
      })),
      ...[...fixtureSteps.keys()].map((key) => (v: unknown) => ({ name: "a", layers: { b: { from: "image:c", steps: [{ [key]: v }] } } })),
    ];
    fc.assert(
      fc.property(fc.constantFrom(...places), value, (place, v) => holds(recipeToYaml(place(v) as never))),
      { numRuns: 500 },
    );
  });
});

describe("a recipe that is meant to hurt", () => {
  const large = MAX_RECIPE_BYTES / 16;
  it.each([
    ["brackets", "[".repeat(large)],
    ["braces", "{".repeat(large / 2)],
    ["dashes", "- ".repeat(large / 2)],
    ["quotes", '"'.repeat(large / 4)],
    ["keys", Array.from({ length: large / 16 }, (_, index) => `k${index}: 1`).join("\n")],
    ["the same key", "name: a\n".repeat(large / 8)],
    ["aliases", `x-a: &a 1\nx-b: [${"*a,".repeat(large / 4)}]`],
    [
      "nested aliases",
      `x-a: &a0 [1]\n${Array.from({ length: 90 }, (_, index) => `x-${index}: &a${index + 1} [${`*a${index},`.repeat(2)}]`).join("\n")}`,
    ],
    ["anchors", "&a ".repeat(large / 8)],
    ["directives", "%a\n".repeat(large / 16)],
    ["line breaks", "\n".repeat(large)],
    ["one long line", `name: ${"a ".repeat(large / 2)}`],
    ["many steps", `name: a\nlayers: { b: { from: image:c, steps: [${"run: x,".repeat(large / 64)}] } }`],
    ["many wrong steps", `name: a\nlayers: { b: { from: image:c, steps: [${"rnu: x,".repeat(large / 64)}] } }`],
    [
      "many layers",
      `name: a\nlayers:\n${Array.from({ length: 3000 }, (_, index) => `  l${index}: { from: l${index + 1}, steps: [run: x] }`).join("\n")}`,
    ],
    [
      "a cycle of many",
      `name: a\nlayers:\n${Array.from({ length: 3000 }, (_, index) => `  l${index}: { from: l${(index + 1) % 3000}, steps: [run: x] }`).join("\n")}`,
    ],
  ])("%s", (_what, text) => {
    holds(text);
  });

  it("of five megabytes is refused by its size", () => {
    const problems = parseText(`name: ${"a".repeat(5 << 20)}\n`).problems;
    expect(problems.map(formatProblem)).toEqual([
      "r: a recipe is at most 1 MiB (1048576 bytes), this has 5242887 bytes (put long contents into files beside it and copy them)",
    ]);
  });
});
