import fc from "fast-check";
import { expect, it, test } from "vitest";
import { isMoreFrequent } from "./conditional-test.ts";

const of = (errors: number, requests: number) => ({ errors, requests });

// computed with scipy 1.17, stats.fisher_exact(…, alternative="greater")
test.each([
  [of(8, 10), of(1, 6), 0.024475524475524483],
  [of(10, 1000), of(20, 10_000), 0.0002037936812326196],
  [of(3, 1000), of(0, 10_000), 0.000749266692205412],
  [of(500, 100_000), of(4000, 1_000_000), 2.5266461135562567e-6],
])("%o against %o is p = %d", (one, other, p) => expect(isMoreFrequent(one, other, 1) / p).toBeCloseTo(1, 10));

// computed in fractions: the weights C(requests of one, k) C(requests of other, errors - k) odds^k, from k = errors of one on
test.each([
  [of(8, 10), of(1, 6), 2, 0.10375670840787121],
  [of(10, 1000), of(20, 10_000), 1.5, 0.003449437538192539],
  [of(30, 1000), of(100, 10_000), 2, 0.03160151411543972],
  [of(60, 1000), of(100, 10_000), 4, 0.004537504682681914],
])("%o against %o, odds %d, is p = %d", (one, other, odds, p) => expect(isMoreFrequent(one, other, odds) / p).toBeCloseTo(1, 10));

it("is near the exact value where it is approximated", () => {
  const p = isMoreFrequent(of(1_000_020_000, 2_000_000_000), of(999_980_000, 2_000_000_000), 1);
  expect(p).toBeCloseTo(0.1029572547503193, 4);
});

it("is as counted over all ways in which the errors could fall", () => {
  const choose = (n: number, k: number): number => (k < 0 || k > n ? 0 : k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);
  const proportion = fc
    .integer({ min: 1, max: 12 })
    .chain((requests) => fc.integer({ min: 0, max: requests }).map((errors) => of(errors, requests)));
  fc.assert(
    fc.property(proportion, proportion, fc.constantFrom(1, 1.1, 3), (one, other, odds) => {
      const errors = one.errors + other.errors;
      const weight = (at: number): number => choose(one.requests, at) * choose(other.requests, errors - at) * odds ** at;
      const weights = Array.from({ length: errors + 1 }, (_, at) => weight(at));
      const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
      expect(isMoreFrequent(one, other, odds)).toBeCloseTo(sum(weights.slice(one.errors)) / sum(weights), 10);
    }),
  );
});

it("ends soon, with a p, for any counts", () => {
  const proportion = fc
    .tuple(fc.maxSafeNat(), fc.maxSafeNat())
    .map(([a, b]) => of(Math.floor(Math.min(a, b) / 2), Math.floor(Math.max(a, b) / 2)));
  fc.assert(
    fc.property(proportion, proportion, fc.constantFrom(1, 1.1, 11), (one, other, odds) => {
      const p = isMoreFrequent(one, other, odds);
      expect(p).toBeGreaterThanOrEqual(0);
      expect(p).toBeLessThanOrEqual(1);
    }),
  );
});

it("is certain without errors", () => {
  expect(isMoreFrequent(of(0, 100), of(0, 100), 1)).toBe(1);
  expect(isMoreFrequent(of(0, 0), of(5, 100), 1)).toBe(1);
});
