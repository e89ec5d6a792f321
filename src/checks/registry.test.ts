import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { platformOf, type CheckDefinition } from "../core/checks/check.ts";
import { CHECK_SETTINGS } from "../core/recipe/schema.ts";
import { checks } from "./registry.ts";

const files = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts") && name !== "registry.ts")
  .map((name) => basename(name, ".ts"));

test("every file of the folder is a check of the registry", () => {
  expect([...checks.keys()].sort()).toEqual(files.sort());
});

test("every check has a test beside it", () => {
  const tests = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.ts"));
  expect(files.filter((id) => !tests.includes(`${id}.test.ts`))).toEqual([]);
});

test.each(files)("%s.ts exports the check of its name", async (id) => {
  const exported: Record<string, unknown> = await import(join(import.meta.dirname, `${id}.ts`));
  expect(Object.values(exported)).toContain(checks.get(id));
});

describe.each([...checks.values()].map((check): [string, CheckDefinition] => [check.id, check]))("%s", (id, check) => {
  test("is declared fully", () => {
    expect(check.version).toBeGreaterThanOrEqual(1);
    expect(check.summary).toMatch(/^[A-Z].*[^.]$/);
    expect(check.description.length).toBeGreaterThan(60);
    expect(check.examples.length).toBeGreaterThan(0);
    expect(check.defaults.timeoutMs).toBeGreaterThan(0);
  });

  test.each(check.examples)("its example is a check that its schema takes: %s", (example) => {
    for (const item of z.array(z.record(z.string(), z.unknown())).parse(parse(example))) {
      expect(Object.keys(item).filter((key) => !CHECK_SETTINGS.includes(key))).toEqual([id]);
      const options = check.options.parse(item[id] ?? {});
      // What the declaration keeps is read once more when the check is run.
      expect(check.options.parse(JSON.parse(JSON.stringify(options)))).toEqual(options);
      expect(["cell", "vm", "tree"]).toContain(platformOf(check, options));
      expect(check.files?.(options) ?? []).toEqual(expect.any(Array));
    }
  });

  test("has a fault that it must find, and options for it that its schema takes", () => {
    for (const scenario of [check.selfTest.sound, check.selfTest.faulty]) check.options.parse(scenario.options);
    expect(check.selfTest.sound).not.toEqual(check.selfTest.faulty);
  });

  test("has a JSON schema with a description for every field", () => {
    expect(undescribed(z.toJSONSchema(check.options, { io: "input", unrepresentable: "any" }), id)).toEqual([]);
  });
});

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
