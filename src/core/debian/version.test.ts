import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compareVersions } from "./version.ts";

test.each([
  ["1.0", "1.0", 0],
  ["1.0-0", "0:1.0", 0],
  ["1.0~rc1", "1.0", -1],
  ["1.0~~", "1.0~", -1],
  ["1.0+deb12u2", "1.0+deb12u10", -1],
  ["1:0.1", "9.9", 1],
  ["2.36-9+deb12u14", "2.36-9+deb12u9", 1],
  ["1.0a", "1.0+", -1],
  ["20231231235959999999998", "20231231235959999999999", -1],
])("%s against %s", (a, b, expected) => {
  expect(Math.sign(compareVersions(a, b))).toBe(expected);
  expect(Math.sign(compareVersions(b, a))).toBe(expected === 0 ? 0 : -expected);
});

const part = fc.stringMatching(/^[0-9a-zA-Z.+~]{0,8}$/);
const version = fc
  .record({ epoch: fc.option(fc.nat(12)), upstream: part, dashes: fc.array(part, { maxLength: 2 }) })
  .map(
    ({ epoch, upstream, dashes }) => `${epoch === null ? "" : `${epoch}:`}1${[upstream, ...dashes.map((dash) => `${dash}0`)].join("-")}`,
  );

/** One shell for all pairs: starting dpkg is what costs. */
function dpkgOrder(pairs: readonly (readonly [string, string])[]): readonly number[] {
  const script = `while read -r a b; do
    if dpkg --compare-versions "$a" lt "$b"; then echo -1; elif dpkg --compare-versions "$a" gt "$b"; then echo 1; else echo 0; fi; done`;
  const result = spawnSync("sh", ["-c", script], { input: pairs.map((pair) => `${pair.join(" ")}\n`).join(""), encoding: "utf8" });
  expect(result.stderr).toBe("");
  return result.stdout.trim().split("\n").map(Number);
}

test("any two versions compare as dpkg compares them", () => {
  const pairs = fc.sample(fc.tuple(version, version), { numRuns: 250 });
  // Near misses: the same version with one more character somewhere, where most of the rules are.
  const near = fc
    .sample(fc.tuple(version, fc.constantFrom("~", "+", "a", "0", "1", ".", "-1", "~1")), { numRuns: 150 })
    .map(([v, tail]) => [v, `${v}${tail}`] as const);
  const all = [...pairs, ...near];
  const expected = dpkgOrder(all);
  const wrong = all.filter(([a, b], index) => Math.sign(compareVersions(a, b)) !== expected[index]);
  expect(wrong).toEqual([]);
});

test("is an order: antisymmetric and transitive", () => {
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      const [x, y, z] = [a, b, c].sort(compareVersions) as [string, string, string];
      return (
        compareVersions(x, y) <= 0 &&
        compareVersions(y, z) <= 0 &&
        compareVersions(x, z) <= 0 &&
        Math.sign(compareVersions(a, b)) + Math.sign(compareVersions(b, a)) === 0
      );
    }),
  );
});
