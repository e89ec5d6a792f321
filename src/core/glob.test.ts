import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { compileGlobs, globExpression, globProblem, hasGlob } from "./glob.ts";

describe("one pattern", () => {
  test.each([
    ["*.log", "a.log", true],
    ["*.log", "deep/er/a.log", true],
    ["*.log", "a.log.gz", false],
    ["/*.log", "deep/a.log", false],
    ["/*.log", "a.log", true],
    ["build/out", "build/out", true],
    ["build/out", "x/build/out", false],
    ["**/out", "a/b/out", true],
    ["**/out", "out", true],
    ["a/**/b", "a/b", true],
    ["a/**/b", "a/x/y/b", true],
    ["a/**/b", "ab", false],
    ["a/**", "a/x/y", true],
    ["a/**", "a", false],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["[a-c]x", "bx", true],
    ["[!a-c]x", "bx", false],
    ["[!a-c]x", "dx", true],
    ["[]]x", "]x", true],
    ["*.{js,map}", "dist/a.map", true],
    ["*.{js,map}", "dist/a.ts", false],
    ["\\*", "*", true],
    ["\\*", "a", false],
    ["[", "[", true],
    ["{x", "{x", true],
    ["a.b", "axb", false],
    ["*", "näme\nwith line", true],
    ["?", "😀", true],
  ])("%s and %s: %s", (pattern, path, expected) => {
    expect(compileGlobs([pattern]).matches(path, false)).toBe(expected);
  });
});

test("a slash at the end is about directories", () => {
  const globs = compileGlobs(["cache/"]);
  expect(globs.matches("x/cache", true)).toBe(true);
  expect(globs.matches("x/cache", false)).toBe(false);
});

test("the last match wins", () => {
  const globs = compileGlobs(["*.md", "!README.md", "docs/README.md"]);
  expect(globs.matches("a.md", false)).toBe(true);
  expect(globs.matches("README.md", false)).toBe(false);
  expect(globs.matches("docs/README.md", false)).toBe(true);
});

test("problems are told in words", () => {
  expect(globProblem("*.log")).toBeUndefined();
  expect(globProblem("!/")).toContain("matches nothing");
  expect(globProblem("")).toContain("matches nothing");
  expect(globProblem("../x")).toContain("..");
  expect(globProblem("a\nb")).toContain("line break");
  expect(globProblem("[z-a]")).toContain("wrong way round");
});

test("any text without glob characters matches itself and nothing longer", () => {
  const name = fc.string({ unit: "binary", minLength: 1 }).filter((text) => !hasGlob(text) && !text.includes("/") && !text.startsWith("!"));
  fc.assert(
    fc.property(name, (text) => {
      expect(globExpression(text).test(text)).toBe(true);
      expect(compileGlobs([text]).matches(`a/${text}`, false)).toBe(true);
      expect(compileGlobs([text]).matches(`${text}x`, false)).toBe(false);
    }),
  );
});

test("no pattern makes the compiler fail unless a problem is told", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."a-z!*?[]{},\\/.^&") }), (pattern) => {
      if (globProblem(pattern) === undefined) compileGlobs([pattern]).matches("some/path", false);
    }),
    { numRuns: 500 },
  );
});
