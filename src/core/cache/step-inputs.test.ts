import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson, type JsonValue } from "../json.ts";
import { changedInputs, flattenOptions } from "./step-inputs.ts";

const json = (): fc.Arbitrary<JsonValue> => fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.parse(JSON.stringify(value)) as JsonValue);

/** The same value with the members of every object in another order. */
const reversed = (value: JsonValue): JsonValue => {
  if (Array.isArray(value)) return value.map((item: JsonValue) => reversed(item));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
};

describe("step inputs", () => {
  it("name each option by its path", () => {
    expect(flattenOptions({ from: "app", excludes: ["*.log", "tmp"], owner: { uid: 1 }, empty: [] })).toEqual({
      "option.from": "app",
      "option.excludes.0": "*.log",
      "option.excludes.1": "tmp",
      "option.owner.uid": "1",
      "option.empty": "[]",
    });
  });

  it("are equal for equal options, whatever the order of their keys", () => {
    fc.assert(
      fc.property(json(), (value) => {
        expect(canonicalJson(flattenOptions(reversed(value)))).toBe(canonicalJson(flattenOptions(value)));
      }),
    );
  });

  it("name exactly the inputs that differ", () => {
    const before = { step: "apt@1", parent: "a", "package.curl": "1.0 amd64 x", "option.recommends": "false" };
    const after = { step: "apt@1", parent: "b", "package.curl": "1.1 amd64 y", "package.jq": "1.6 amd64 z" };
    expect(changedInputs(before, after)).toEqual([
      { input: "option.recommends", before: "false", after: "(absent)" },
      { input: "package.curl", before: "1.0 amd64 x", after: "1.1 amd64 y" },
      { input: "package.jq", before: "(absent)", after: "1.6 amd64 z" },
    ]);
  });

  it("show digests short and long texts cut", () => {
    const digest = `sha256:${"ab".repeat(32)}`;
    expect(changedInputs({ files: digest }, { files: `a\n${"x".repeat(200)}` })).toEqual([
      { input: "files", before: "sha256:abababababab", after: `a⏎${"x".repeat(76)}…` },
    ]);
  });

  it("show of long texts where they begin to differ", () => {
    const script = (end: string): string => `${"echo the same\n".repeat(20)}${end}`;
    const [change] = changedInputs({ script: script("rm a") }, { script: script("rm bb") });
    expect(change).toMatchObject({ before: expect.stringMatching(/^….*⏎rm a$/), after: expect.stringMatching(/^….*⏎rm bb$/) });
  });
});

describe("canonical JSON", () => {
  it("tells unequal values apart and equal ones not", () => {
    fc.assert(
      fc.property(json(), json(), (a, b) => {
        expect(canonicalJson(a)).toBe(canonicalJson(reversed(a)));
        expect(canonicalJson(a) === canonicalJson(b)).toBe(isEqual(a, b));
      }),
    );
  });
});

const isEqual = (a: JsonValue, b: JsonValue): boolean => {
  try {
    expect(a).toStrictEqual(b);
    return true;
  } catch {
    return false;
  }
};
