import fc from "fast-check";
import { expect, test } from "vitest";
import { fieldOf, formatStanza, parseDeb822 } from "./deb822.ts";

test("stanzas, continuations, comments and positions", () => {
  const { stanzas, problems } = parseDeb822(
    "# top\n\nPackage: a\nDescription: one\n two\n  three\n# inside\nVersion: 1\n\n\nPackage: b\r\n",
  );
  expect(problems).toEqual([]);
  expect(stanzas.map(({ line }) => line)).toEqual([3, 11]);
  const first = stanzas[0];
  if (first === undefined) throw new Error("no stanza");
  expect(fieldOf(first, "description")).toBe("one\ntwo\n three");
  expect(fieldOf(first, "VERSION")).toBe("1");
  expect(first.fields.map(({ line }) => line)).toEqual([3, 4, 8]);
});

test("what is wrong is told with its line, and the rest is read", () => {
  const { stanzas, problems } = parseDeb822(" stray\nA: 1\nnonsense\na: 2\nB: 3\n");
  expect(problems.map(({ line }) => line)).toEqual([1, 3, 4]);
  expect(stanzas[0]?.fields.map(({ name }) => name)).toEqual(["A", "B"]);
});

test("what is written is read back", () => {
  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,10}$/);
  const line = fc.stringMatching(/^[a-z0-9.,:()=<>-]([ a-z0-9.,:()=<>-]{0,10}[a-z0-9])?$/);
  const field = fc.record({ name, value: fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => lines.join("\n")) });
  fc.assert(
    fc.property(fc.uniqueArray(field, { minLength: 1, selector: ({ name: key }) => key.toLowerCase() }), (fields) => {
      const { stanzas, problems } = parseDeb822(formatStanza(fields));
      expect(problems).toEqual([]);
      expect(stanzas[0]?.fields.map(({ name: key, value }) => ({ name: key, value }))).toEqual(fields);
    }),
  );
});
