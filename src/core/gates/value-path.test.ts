import { expect, test } from "vitest";
import { numbersAt, readValuePath } from "./value-path.ts";

test.each([
  ["errors", ["errors"]],
  ["http.errors_total", ["http", "errors_total"]],
  ["a.b[0].c", ["a", "b", 0, "c"]],
  ["[1][2]", [1, 2]],
  ['a["b.c"]["d\\"e"]', ["a", "b.c", 'd"e']],
])("%s leads to %j", (text, path) => expect(readValuePath(text)).toEqual(path));

test.each(["", ".", "a.", ".a", "a..b", "a[b]", "a[-1]", "a b", "a[0", 'a["b]', "1a"])("%j is no path", (text) =>
  expect(readValuePath(text)).toBeUndefined(),
);

const answer = { a: { "b.c": [{ rate: 0.5 }, { rate: "0.5" }] }, list: [1, null, 2], none: null, yes: true, empty: [] };

test.each([
  ['a["b.c"][0].rate', [0.5]],
  ["list", [1, Number.NaN, 2]],
  ["none", [Number.NaN]],
  ["empty", []],
  ['a["b.c"][1].rate', 'a["b.c"][1].rate is no number: "0.5"'],
  ["yes", "yes is no number: true"],
  ["a", 'a is no number: {"b.c":[{"rate":0.5},{"rate":"0.5"}]}'],
  ["aa.b", "there is no aa.b in the answer"],
  ["list[9]", "there is no list[9] in the answer"],
  ["none.more", "there is no none.more in the answer"],
  ["constructor", "there is no constructor in the answer"],
  ["list.length.x", "there is no list.length.x in the answer"],
])("at %s there is %j", (path, numbers) => expect(numbersAt(answer, path)).toEqual(numbers));
