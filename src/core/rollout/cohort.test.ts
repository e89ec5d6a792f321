import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cohortOrder, hashText, type Candidate } from "./cohort.ts";

const fleet = (sizes: Readonly<Record<string, number>>): readonly Candidate[] =>
  Object.entries(sizes).flatMap(([zone, size]) =>
    Array.from({ length: size }, (_, index) => ({ id: `${zone}-${index}`, zone, healthy: true })),
  );
const release = (digest: string) => ({ digest, salt: "" });

describe("the order of a fleet", () => {
  test("is the same whenever it is made again, in whatever order the instances are given", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...fleet({ a: 20, b: 10, c: 3 })], { minLength: 33 }), (shuffled) => {
        expect(cohortOrder(shuffled, release("x"))).toEqual(cohortOrder(fleet({ a: 20, b: 10, c: 3 }), release("x")));
      }),
      { numRuns: 20 },
    );
  });

  test("is another one for each release: nobody is always the canary", () => {
    const first = new Set(Array.from({ length: 200 }, (_, index) => cohortOrder(fleet({ a: 20 }), release(String(index)))[0]?.id));
    expect(first.size).toBe(20);
  });

  test("spreads zones of whatever sizes evenly over it", () => {
    const order = cohortOrder(fleet({ large: 60, middle: 30, small: 10 }), release("x"));
    for (let from = 0; from < 100; from += 10) {
      const zones = order.slice(from, from + 10).map(({ zone }) => zone);
      expect(zones.filter((zone) => zone === "large").length).toBeGreaterThanOrEqual(4);
      expect(zones.filter((zone) => zone === "large").length).toBeLessThanOrEqual(8);
      expect(zones.filter((zone) => zone === "small").length).toBeLessThanOrEqual(2);
    }
  });

  test("begins with those that are always first, then with those that are out of order, and ends with those that never are", () => {
    const [a, b, c, d, ...rest] = fleet({ a: 40 }) as [Candidate, Candidate, Candidate, Candidate, ...Candidate[]];
    const order = cohortOrder([...rest, { ...a, ring: "never-first" }, { ...b, ring: "first" }, { ...c, healthy: false }, d], release("x"));
    expect(order[0]?.id).toBe(b.id);
    expect(order[1]?.id).toBe(c.id);
    expect(order.at(-1)?.id).toBe(a.id);
  });
});

test("what does not answer goes last, so that the first wave tries something", () => {
  const [a, b, ...rest] = fleet({ a: 5 }) as [Candidate, Candidate, ...Candidate[]];
  const silent = { healthy: false, silent: true };
  const order = cohortOrder([{ ...a, ...silent }, { ...b, ...silent, ring: "first" }, ...rest], release("x"));
  expect(new Set(order.slice(-2).map(({ id }) => id))).toEqual(new Set([a.id, b.id]));
});

test("hashes of similar texts are spread evenly", () => {
  const buckets = new Array<number>(16).fill(0);
  for (let index = 0; index < 16_000; index += 1) buckets[Math.floor((hashText(`host-${index}`) / 2 ** 53) * 16)]! += 1;
  for (const size of buckets) expect(Math.abs(size - 1000)).toBeLessThan(150); // 4.9 standard deviations
});
