import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { isHigher, shareHigher, smallestP } from "./mann-whitney.ts";
import { normalTail } from "./normal-tail.ts";

/** Every way to choose `count` of the numbers, with what is left. */
function* divisions(numbers: readonly number[], count: number): Generator<readonly [readonly number[], readonly number[]]> {
  const [first, ...rest] = numbers;
  if (first === undefined || count > numbers.length) return;
  if (count === 0) return yield [[], numbers];
  if (count === numbers.length) return yield [numbers, []];
  for (const [chosen, left] of divisions(rest, count - 1)) yield [[first, ...chosen], left];
  for (const [chosen, left] of divisions(rest, count)) yield [chosen, [first, ...left]];
}

const pairsWon = (one: readonly number[], other: readonly number[]): number =>
  one.flatMap((a) => other.map((b): number => (a > b ? 1 : a === b ? 0.5 : 0))).reduce((sum, won) => sum + won, 0);

describe("whether one side is higher", () => {
  // computed with scipy 1.17, stats.mannwhitneyu(one, other, alternative="greater")
  it.each([
    [[1.1, 2.5, 3.7, 4.2, 8], [0.3, 0.9, 1.0, 2.4, 3.6, 0.2], 0.015151515151515152],
    [[19, 22, 16, 29, 24], [20, 11, 17, 12], 0.05555555555555555],
  ])("of %j and %j is p = %d, exactly", (one, other, p) => {
    expect(isHigher(one, other).p).toBeCloseTo(p, 14);
    expect(isHigher(one, other).exact).toBe(true);
  });

  it.each([
    ["without many ties", 60, 37, 101, 45, 53, 97, -3, 0.10687377762723743],
    ["with many ties", 60, 7, 10, 60, 3, 8, 0, 0.021451688367340713],
  ])("is approximated for many numbers %s", (_, n, a, b, m, c, d, from, p) => {
    const one = Array.from({ length: n }, (__, index) => (index * a) % b);
    const other = Array.from({ length: m }, (__, index) => ((index * c) % d) + from);
    expect(isHigher(one, other)).toMatchObject({ exact: false, p: expect.closeTo(p, 12) as number });
  });

  it("is counted over all ways to divide the numbers, with ties", () => {
    const few = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(few, few, (one, other) => {
        const won = pairsWon(one, other);
        const ways = [...divisions([...one, ...other], one.length)];
        const asHigh = ways.filter(([a, b]) => pairsWon(a, b) >= won).length;
        expect(isHigher(one, other).p).toBeCloseTo(asHigh / ways.length, 12);
        expect(shareHigher(one, other)).toBeCloseTo(won / (one.length * other.length), 12);
      }),
    );
  });

  it("says so by chance alone no more often than p says", () => {
    const numbers = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    const ps = [...divisions(numbers, 5)].map(([one, other]) => isHigher(one, other).p);
    for (const rate of [0.01, 0.05, 0.1, 0.5]) expect(ps.filter((p) => p <= rate).length / ps.length).toBeLessThanOrEqual(rate);
  });

  it("takes constants as they are", () => {
    const fives = new Array<number>(12).fill(5);
    const sixes = new Array<number>(12).fill(6);
    expect(isHigher(fives, fives).p).toBe(1);
    expect(shareHigher(fives, fives)).toBe(0.5);
    expect(isHigher(sixes, fives).p).toBeCloseTo(smallestP(12, 12), 14);
    expect(isHigher(fives, sixes).p).toBe(1);
    expect(shareHigher(fives, sixes)).toBe(0);
    expect(isHigher(new Array<number>(500).fill(5), new Array<number>(500).fill(5)).p).toBe(1);
    expect(isHigher(new Array<number>(500).fill(6), new Array<number>(500).fill(5)).p).toBeLessThan(1e-100);
  });

  it("is not known of nothing", () => {
    expect(isHigher([], [1, 2])).toEqual({ p: 1, exact: true });
    expect(isHigher([1], [])).toEqual({ p: 1, exact: true });
    expect(shareHigher([], [1])).toBe(0.5);
  });

  it("is p from 0 to 1 of any finite numbers, and the same in any order", () => {
    const numbers = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 80 });
    fc.assert(
      fc.property(numbers, numbers, (one, other) => {
        const { p } = isHigher(one, other);
        expect(p).toBeGreaterThanOrEqual(0);
        expect(p).toBeLessThanOrEqual(1);
        expect(isHigher(one.toReversed(), other.toSorted()).p).toBe(p);
      }),
    );
  });
});

test("the smallest p is that of one in all ways to choose", () => {
  expect(smallestP(3, 3)).toBeCloseTo(1 / 20, 14);
  expect(smallestP(10, 10)).toBeCloseTo(1 / 184_756, 14);
  expect(smallestP(1, 1000)).toBeCloseTo(1 / 1001, 14);
  expect(smallestP(0, 5)).toBe(1);
});

// computed with scipy 1.17, stats.norm.sf(z)
test.each([
  [0, 0.5],
  [0.5, 0.3085375387259869],
  [1.9999, 0.02275553158476718],
  [2.0001, 0.022744733391410532],
  [5, 2.866515718791933e-7],
  [8, 6.22096057427174e-16],
  [20, 2.7536241186061556e-89],
  [-3, 0.9986501019683699],
])("a normal variable is at least %d with probability %d", (z, p) => expect(normalTail(z) / p).toBeCloseTo(1, 12));
