import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { BakehouseError } from "../core/errors.ts";
import type { StepDefinition } from "../core/step.ts";
import { steps } from "./registry.ts";

const files = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && name !== "registry.ts")
  .map((name) => basename(name, ".ts"));

test("every file of the folder is a step of the registry", () => {
  expect([...steps.keys()].sort()).toEqual(files.sort());
});

test("every step has a test beside it", () => {
  const tests = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.ts"));
  expect(files.filter((id) => !tests.includes(`${id}.test.ts`))).toEqual([]);
});

test.each(files)("%s.ts exports the step of its name", async (id) => {
  const exported: Record<string, unknown> = await import(join(import.meta.dirname, `${id}.ts`));
  expect(Object.values(exported)).toContain(steps.get(id));
});

/** What may stand beside a step's own key in an item of `steps:`. */
const SETTINGS = new Set(["name", "timeout", "network", "secrets"]);

describe.each([...steps.values()].map((step): [string, StepDefinition] => [step.id, step]))("%s", (id, step) => {
  test("is declared fully", () => {
    expect(step.version).toBeGreaterThanOrEqual(1);
    expect(step.summary).toMatch(/^[A-Z].*[^.]$/);
    expect(step.description.length).toBeGreaterThan(80);
    expect(step.examples.length).toBeGreaterThan(0);
  });

  test.each(step.examples.map((example, index): [number, string] => [index + 1, example]))(
    "example %i is a step that its schema takes",
    (_, example) => {
      const list = z.array(z.record(z.string(), z.unknown())).parse(parse(example));
      for (const item of list) {
        const keys = Object.keys(item).filter((key) => !SETTINGS.has(key));
        expect(keys).toEqual([id]);
        const options = step.options.parse(item[id]);
        // What the recipe keeps is read once more when the step is bound.
        expect(step.options.parse(JSON.parse(JSON.stringify(options)))).toEqual(options);
        step.requires?.(options);
        expect(launchScript(step, options)).not.toContain("undefined");
      }
    },
  );

  test("has a JSON schema with a description for every field", () => {
    const schema = z.toJSONSchema(step.options, { io: "input", unrepresentable: "any" });
    expect(undescribed(schema, id)).toEqual([]);
  });
});

/** A step may say that it cannot be done at launch. */
function launchScript(step: StepDefinition, options: unknown): string {
  try {
    return step.atLaunch?.(options, { address: "base/x", parameters: {} }).script ?? "";
  } catch (cause) {
    if (cause instanceof BakehouseError) return "";
    throw cause;
  }
}

function undescribed(schema: unknown, path: string): readonly string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties, anyOf, items } = schema as {
    properties?: Record<string, { description?: string }>;
    anyOf?: unknown[];
    items?: unknown;
  };
  const fields = Object.entries(properties ?? {});
  return [
    ...fields.filter(([, field]) => field.description === undefined).map(([name]) => `${path}.${name}`),
    ...fields.flatMap(([name, field]) => undescribed(field, `${path}.${name}`)),
    ...(anyOf ?? []).flatMap((one) => undescribed(one, path)),
    ...undescribed(items, `${path}[]`),
  ];
}
