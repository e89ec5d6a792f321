import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { bootTime } from "./boot-time.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([["5s"], [{ max: "1m" }]])("%j is fine", (options) => expect(refusals(bootTime, options)).toEqual([]));
test.each([[5], ["fast"], ["1h"], [{}]])("%j is refused", (options) => expect(refusals(bootTime, options).length).toBeGreaterThan(0));

test("a start within the time passes, a longer one fails with what took long", async () => {
  const cell = await asked.start();
  expect(await asked.ask(cell, bootTime, "10m")).toMatchObject({ verdict: "passed" });
  const slow = await asked.ask(cell, bootTime, { max: "1ms" });
  expect(slow.verdict).toBe("failed");
  expect(slow.summary).toMatch(/^the start took \d+ ms, more than 1ms$/);
  expect(slow.excerpt.length).toBeGreaterThan(0);
});
