import { z } from "zod";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defineStep } from "../step.ts";
import { defineRecipe, recipeBuilder, recipeToYaml } from "./builder.ts";
import { fixtureSteps, parseText } from "../../../test/fixture-steps.ts";
import { requireRecipe } from "./parse-recipe.ts";
import { readYaml } from "./read-yaml.ts";
import type { Recipe } from "./model.ts";
import type { RecipeSource } from "./source.ts";

const common = { version: 1, summary: "", description: "", examples: [], needs: [], run: () => Promise.resolve() } as const;
const debian = defineStep({
  ...common,
  id: "debian",
  role: "foundation",
  options: z.strictObject({ suite: z.enum(["bookworm", "trixie"]) }),
});
const apt = defineStep({ ...common, id: "apt", role: "provision", options: z.array(z.string()) });
const run = defineStep({ ...common, id: "run", role: "provision", options: z.union([z.string(), z.strictObject({ script: z.string() })]) });
const hostPolicy = defineStep({ ...common, id: "host-policy", role: "provision", options: z.strictObject({ name: z.string() }) });

const recipe = recipeBuilder({ debian, apt, run, "host-policy": hostPolicy });

const withoutPositions = (parsed: Recipe): unknown =>
  JSON.parse(JSON.stringify(parsed, (key, value: unknown) => (key === "position" ? undefined : value)));

describe("recipeBuilder", () => {
  const built = recipe("shop")
    .description("The shop")
    .parameter("version", "1.10")
    .parameter("port", { type: "number", default: 80, min: 1 })
    .secret("licence", { env: "LICENCE" })
    .layer("foundation", (layer) => layer.debian({ suite: "bookworm" }))
    .layer("base", (layer) =>
      layer
        .from("foundation")
        .apt(["curl"])
        .run("echo {{version}} {{port}}", { name: "greet", timeout: "5m", secrets: ["licence"] }),
    )
    .layer("release", (layer) =>
      layer
        .from("base")
        .step("run", { script: "true" })
        .image({ ports: [80] })
        .release({ volume: "/srv/shop" }),
    );

  const written = `name: shop
description: The shop
parameters: { version: "1.10", port: { type: number, default: 80, min: 1 } }
secrets: { licence: { env: LICENCE } }
layers:
  foundation: { steps: [debian: { suite: bookworm }] }
  base:
    from: foundation
    steps:
      - apt: [curl]
      - run: echo {{version}} {{port}}
        name: greet
        timeout: 5m
        secrets: [licence]
  release: { from: base, steps: [run: { script: "true" }], image: { ports: [80] }, release: { volume: /srv/shop } }
`;

  it("gives what YAML gives", () => {
    expect(built.source).toEqual(readYaml(written, "r").value);
    expect(withoutPositions(requireRecipe(parseText(built.toYaml())))).toEqual(withoutPositions(requireRecipe(parseText(written))));
  });

  it("leaves the recipe that a call starts from as it was", () => {
    const before = built.toYaml();
    built.layer("more", (layer) => layer.from("base")).parameter("x", true);
    expect(built.toYaml()).toBe(before);
  });

  it("has a method for a step whose id has a hyphen", () => {
    const source = recipe("a").layer("b", (layer) => layer.from("image:c").hostPolicy({ name: "d" })).source;
    expect(source.layers["b"]?.steps).toEqual([{ "host-policy": { name: "d" } }]);
  });

  it("knows the options of each step", () => {
    // @ts-expect-error there is no such suite
    recipe("a").layer("b", (layer) => layer.debian({ suite: "woody" }));
    // @ts-expect-error there is no such step
    expect(() => recipe("a").layer("b", (layer) => layer.dnf(["curl"]))).toThrow(TypeError);
    // @ts-expect-error the packages are a list
    defineRecipe<{ apt: string[] }>({ name: "a", layers: { b: { steps: [{ apt: "curl" }] } } });
  });
});

describe("recipeToYaml", () => {
  const name = fc.stringMatching(/^[a-z]{1,6}$/);
  const text = fc
    .oneof(
      fc.string(),
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.constantFrom(
        "yes",
        "1.10",
        "0644",
        "null",
        "~",
        "{{version}}",
        "a: b",
        "- x",
        "#",
        "*a",
        "&a",
        "!x",
        "\t",
        "a\n",
        "\n\na\n \n",
        "'",
        '"',
        "%",
        "@",
        " ",
        ".inf",
        "0x1f",
      ),
    )
    .filter((value) => !/[\0\uFFFD]/.test(value) && value.isWellFormed() && !value.includes("{{"));
  const step = fc.oneof(
    fc.record({
      apt: fc.array(
        text.filter((value) => value !== ""),
        { minLength: 1, maxLength: 3 },
      ),
    }),
    fc.record({ run: text.filter((value) => value !== ""), timeout: fc.constantFrom("5m", "1h30m") }),
    fc.record({
      sysctl: fc.dictionary(
        text.filter((key) => key !== "<<" && key !== "__proto__"),
        fc.oneof(text, fc.maxSafeInteger()),
        { maxKeys: 3 },
      ),
    }),
  );
  const source: fc.Arbitrary<RecipeSource> = fc
    .record({
      name,
      description: text,
      parameters: fc.dictionary(
        name.filter((one) => !/^(env|stage)/.test(one)),
        fc.record({ type: fc.constant("string" as const), default: text }),
        { maxKeys: 3 },
      ),
      layer: name,
      steps: fc.array(step, { minLength: 1, maxLength: 4 }),
    })
    .map(({ layer, steps, ...head }) => ({ ...head, layers: { [layer]: { from: "image:debian", steps } } }));

  it("is read back as the same recipe", () => {
    fc.assert(
      fc.property(source, (written) => {
        const yaml = readYaml(recipeToYaml(written), "r");
        expect(yaml.problems).toEqual([]);
        expect(yaml.value).toEqual(JSON.parse(JSON.stringify(written)));
      }),
      { numRuns: 300 },
    );
  });

  it("is parsed to the values that were written", () => {
    fc.assert(
      fc.property(source, (written) => {
        const parsed = requireRecipe(parseText(recipeToYaml(written), { steps: fixtureSteps }));
        expect(parsed.description).toBe(written.description);
        expect(parsed.parameters.map(({ value }) => value)).toEqual(
          Object.values(written.parameters ?? {}).map((one) => (typeof one === "object" ? one.default : one)),
        );
        const steps = Object.values(written.layers)[0]?.steps ?? [];
        expect(
          parsed.layers[0]?.steps.map(({ id, options }) => ({
            [id]: id === "apt" ? (options as { packages: unknown }).packages : options,
          })),
        ).toEqual(
          steps.map(({ apt: packages, run: script, sysctl }) =>
            packages === undefined ? (script === undefined ? { sysctl } : { run: script }) : { apt: packages },
          ),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("is plain JSON once parsed, so that it can be kept and compared", () => {
    const parsed = requireRecipe(parseText("name: a\nlayers: { b: { from: image:c, steps: [run: x] } }\n"));
    expect(JSON.parse(JSON.stringify(parsed))).toEqual(parsed);
  });
});
