import { expect, test } from "vitest";
import { amountText, numberOf, parseAmount } from "./amount.ts";

const SIZES = Array.from({ length: 20 }, (_, index) => index + 1);

test("shares round down where machines are at risk, and up where they are added or must be healthy, for every size from 1 to 20", () => {
  const rounded = (percent: number, way: "up" | "down"): readonly number[] => SIZES.map((size) => numberOf({ percent }, size, way));
  expect(rounded(25, "down")).toEqual([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5]);
  expect(rounded(25, "up")).toEqual([1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5]);
  expect(rounded(10, "down")).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
  expect(rounded(100, "down")).toEqual(SIZES);
  expect(rounded(0, "up")).toEqual(SIZES.map(() => 0));
});

test.each([
  ["Argo Rollouts, maxUnavailable 25 % of 7", { percent: 25 }, 7, "down", 1],
  ["Argo Rollouts, maxSurge 25 % of 7", { percent: 25 }, 7, "up", 2],
  ["CodeDeploy, 95 % of 10 healthy", { percent: 95 }, 10, "up", 10],
  ["SSM, 10 % of 50 errors", { percent: 10 }, 50, "down", 5],
  ["Cluster API, 40 % of 7 unhealthy", { percent: 40 }, 7, "down", 2],
  ["a share that binary fractions miss", { percent: 0.1 }, 3000, "up", 3],
] as const)("%s", (_who, amount, size, way, expected) => expect(numberOf(amount, size, way)).toBe(expected));

test("is written as a number or a share", () => {
  expect(parseAmount(3)).toEqual({ count: 3 });
  expect(parseAmount("3")).toEqual({ count: 3 });
  expect(parseAmount("2.5 %")).toEqual({ percent: 2.5 });
  for (const wrong of ["", "-1", "101%", "3.5", "x%", -1, 1.5]) expect(parseAmount(wrong)).toBeUndefined();
  expect(amountText({ percent: 5 })).toBe("5 %");
});
