import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalJson } from "./json.ts";

describe("canonical JSON", () => {
  it.each([
    [{ b: 1, a: [3, { d: null, c: undefined }] }, '{"a":[3,{"d":null}],"b":1}'],
    [{ "10": "a", "9": "b", x: 1 }, '{"10":"a","9":"b","x":1}'],
    [[undefined, "ü\n", "\ud800"], '[null,"ü\\n","\\ud800"]'],
    [JSON.parse('{"__proto__": {"b": 1, "a": 2}}'), '{"__proto__":{"a":2,"b":1}}'],
    [[{ "1": 1, "0": 0 }, { z: { "2": 2 } }], '[{"0":0,"1":1},{"z":{"2":2}}]'],
  ])("of %j", (value, text) => expect(canonicalJson(value)).toBe(text));

  it("says the same as the value, with keys in order, whatever they are", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });
});
