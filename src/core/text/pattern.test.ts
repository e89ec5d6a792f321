import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchesWhole, readPattern } from "./pattern.ts";

function match(source: string, text: string): boolean | string {
  const pattern = readPattern(source);
  return typeof pattern === "string" ? pattern : matchesWhole(pattern, text);
}

describe("the whole text matches", () => {
  test.each([
    ["[0-9.]+", "1.10", true],
    ["[0-9.]+", "1.10x", false],
    ["v1|v2", "v2", true],
    ["v1|v2", "v12", false],
    ["", "", true],
    ["^a$", "a", true],
    ["(?<major>\\d+)\\.(?:\\d+)(-rc\\.\\d{1,2}?)?", "1.2-rc.12", true],
    ["(?!latest$)[a-z]+", "latest", false],
    ["(?!latest$)[a-z]+", "latests", true],
    [".*(?<!-)", "ab-", false],
    [".*(?<=-)", "ab-", true],
    ["\\p{Lu}\\u{1F600}.", "Ż😀😀", true],
    ["[\\]\\-a]{3}", "]-a", true],
    ["\\bone\\b \\Btwo", "one two", false],
    ["a{2,}", "a", false],
    ["(a?){3}b", "aab", true],
    ["(aa|aaa){2}", "aaaaa", true],
    ["\\/\\x41\\t", "/A\t", true],
  ])("%s, %j: %s", (source, text, expected) => expect(match(source, text)).toBe(expected));

  test("as JavaScript has it", () => {
    const pieces = ["a", "b", ".", "[ab]", "(", ")", "|", "*", "+", "?", "{2}", "{0,2}", "(?:", "(?=", "(?<!", "^", "$", "\\b", "\\B"];
    const sources = fc.array(fc.constantFrom(...pieces), { maxLength: 9 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(sources, fc.stringMatching(/^[ab-]{0,6}$/), (source, text) => {
        fc.pre(readPattern(source) !== "is no regular expression");
        expect(match(source, text)).toBe(new RegExp(`^(?:${source})$`, "u").test(text));
      }),
      { numRuns: 2000 },
    );
  });
});

test.each(["(a+)+", "(a|a)*", "(a|aa)+", "(.*)*(.*)*c", "a*a*a*a*a*a*a*a*a*a*b", "((a*)*)*", "(a?){100}a{100}", "(a?){30}a{9,}b{2,}"])(
  "%s ends soon",
  (source) => expect(match(source, `${"a".repeat(500)}!`)).toBe(false),
);

test("what would take long all the same is given up after so many steps", () => {
  expect(match("(".repeat(100) + "a" + "*b?)".repeat(100) + "*", "a".repeat(1024))).toBe("too many steps");
  expect(match("a*", "a".repeat(1025))).toBe("too long");
});

test.each([
  ["(", "is no regular expression"],
  ["(a)\\1", 'has "\\\\1", which is not possible here'],
  ["(?<x>a)\\k<x>", 'has "\\\\k<", which is not possible here'],
  ["(?i:a)", 'has "(?i", which is not possible here'],
])("%s cannot be used", (source, problem) => expect(readPattern(source)).toBe(problem));
