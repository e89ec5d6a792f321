import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exampleOf } from "./pattern-example.ts";
import { findsIn, matchesWhole, readPattern } from "./pattern.ts";

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

describe("a part of the text matches", () => {
  const found = (source: string, text: string): boolean | string => {
    const pattern = readPattern(source);
    return typeof pattern === "string" ? pattern : findsIn(pattern, text);
  };

  test("as JavaScript has it", () => {
    const pieces = ["a", "b", ".", "[ab]", "(", ")", "|", "*", "+", "?", "{2}", "(?:", "(?=", "(?<!", "^", "$", "\\b", "\\B"];
    const sources = fc.array(fc.constantFrom(...pieces), { maxLength: 9 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(sources, fc.stringMatching(/^[ab-]{0,8}$/), (source, text) => {
        fc.pre(readPattern(source) !== "is no regular expression");
        expect(found(source, text)).toBe(new RegExp(source, "u").test(text));
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["(a+)+$", "(a|a)*!!", "(.*)*(.*)*c", "a*a*a*a*a*b"])("%s ends soon", (source) => {
    const started = performance.now();
    expect(found(source, `${"a".repeat(1000)}! `)).not.toBe(true);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("not of more than 4096 characters", () => expect(found("a", "a".repeat(4097))).toBe("too long"));
});

describe("an example of a pattern", () => {
  const example = (source: string): string | undefined => {
    const pattern = readPattern(source);
    if (typeof pattern === "string") throw new Error(pattern);
    return exampleOf(pattern);
  };

  test.each([
    ["panic", "panic"],
    ["(error|fatal): \\d{3}", "error: 000"],
    ["^status=5[0-9]+$", "status=50"],
    ["\\Ba\\B|b", "xax"],
    ["x*", ""],
    ["ż", "ż"],
  ])("%s is %j", (source, text) => expect(example(source)).toBe(text));

  test.each(["(?=x)y", "[^\\s\\S]", "a{5000}", "(a{1000}){1000}", "((){1000}){1000}a{2000}"])("%s has none", (source) =>
    expect(example(source)).toBeUndefined(),
  );

  test("is found by the pattern", () => {
    const pieces = ["a", "b", ".", "[ab]", "(", ")", "|", "*", "+", "?", "{2}", "(?:", "(?<!", "^", "$", "\\b", "\\d", "\\W"];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 9 }), (parts) => {
        const source = parts.join("");
        fc.pre(readPattern(source) !== "is no regular expression");
        const text = example(source);
        if (text !== undefined) expect(new RegExp(source, "u").test(text)).toBe(true);
      }),
    );
  });
});
