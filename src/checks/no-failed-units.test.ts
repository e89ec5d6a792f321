import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, unitFiles, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { noFailedUnits } from "./no-failed-units.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test("options", () => {
  expect(refusals(noFailedUnits, { except: ["a.service"] })).toEqual([]);
  expect(refusals(noFailedUnits, { except: ["a"] })).toHaveLength(1);
});

test("a machine without failed units passes", async () => {
  expect(await asked.ask(await asked.start(), noFailedUnits, {})).toMatchObject({ verdict: "passed" });
});

test("a failed unit is named, with what it wrote, unless it may fail", async () => {
  const cell = await asked.start(unitFiles("bad.service", "Type=oneshot\nExecStart=/bin/sh -c 'echo no luck; exit 1'"));
  const result = await asked.ask(cell, noFailedUnits, {});
  expect(result).toMatchObject({ verdict: "failed", summary: "bad.service failed" });
  expect(result.excerpt.join("\n")).toContain("no luck");
  expect(await asked.ask(cell, noFailedUnits, { except: ["bad.service"] })).toMatchObject({ verdict: "passed" });
});

test("a machine that is gone gives no answer", async () => {
  const cell = await asked.start();
  await cell.stop();
  expect(await asked.ask(cell, noFailedUnits, {})).toMatchObject({ verdict: "error" });
});
