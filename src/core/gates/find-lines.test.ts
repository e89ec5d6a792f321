import { expect, it, test } from "vitest";
import { readPattern } from "../text/pattern.ts";
import { linesSince, searchLines } from "./find-lines.ts";

const search = (source: string, lines: readonly string[]) => {
  const pattern = readPattern(source);
  if (typeof pattern === "string") throw new Error(pattern);
  return searchLines(pattern, "web-1", lines);
};

it("finds a pattern anywhere in a line", () => {
  const lines = ["2026-11-26T02:45:21+0000 web-1 shop[7]: panic: no stock", "all is well", ""];
  expect(search("panic: ", lines)).toEqual({ from: "web-1", lines: 3, matching: [lines[0]] });
  expect(search("^all", lines)).toEqual({ from: "web-1", lines: 3, matching: [lines[1]] });
});

it("says when a line could not be searched", () => {
  expect(search("panic", ["panic", "x".repeat(5000)])).toEqual({
    ...{ from: "web-1", lines: 2, matching: ["panic"] },
    doubt: "1 line too long to be searched",
  });
});

const journal = [
  "-- Boot 1 --",
  "2026-11-26T02:45:20+0000 web-1 a: one",
  "  goes on",
  "2026-11-26T03:45:21+0100 web-1 a: two",
  "  goes on",
  "2026-11-26T02:45:22.5Z web-1 a: three",
];
const at = (time: string): number => Date.parse(time);

test.each([
  ["2026-11-26T02:00:00Z", journal],
  ["2026-11-26T02:45:20.9Z", journal],
  ["2026-11-26T02:45:21.7Z", journal.slice(3)],
  ["2026-11-26T02:45:22.9Z", journal.slice(5)],
  ["2026-11-26T03:00:00Z", []],
])("since %s", (time, lines) => expect(linesSince(journal, at(time))).toEqual(lines));

it("leaves out nothing when no line has a time", () => {
  expect(linesSince(["one", "two"], at("2026-11-26T03:00:00Z"))).toEqual(["one", "two"]);
});
