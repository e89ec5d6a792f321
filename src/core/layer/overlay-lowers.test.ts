import { expect, test } from "vitest";
import { overlayLowers } from "./overlay-lowers.ts";

const diff = (digit: string): `sha256:${string}` => `sha256:${digit.repeat(64)}`;

test("the highest first, and of equal ones only the highest", () => {
  expect(overlayLowers([diff("a"), diff("b"), diff("a"), diff("c")])).toEqual([diff("c"), diff("a"), diff("b")]);
  expect(overlayLowers([])).toEqual([]);
});
