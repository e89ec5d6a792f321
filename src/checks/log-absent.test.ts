import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, unitFiles, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { logAbsent } from "./log-absent.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([[{}], [{ priority: "warning", unit: "nginx.service", pattern: "a|b", except: ["^c"] }]])("%j is fine", (options) =>
  expect(refusals(logAbsent, options)).toEqual([]),
);
test.each([[{ priority: "bad" }], [{ pattern: "(" }], [{ pattern: "(a)\\1" }], [{ unit: "nginx" }], [{ except: "x" }]])(
  "%j is refused",
  (options) => expect(refusals(logAbsent, options).length).toBeGreaterThan(0),
);

test("lines of a priority and pattern are found, those that are meant are not", async () => {
  const cell = await asked.start(
    unitFiles("noisy.service", `Type=oneshot\nExecStart=/bin/sh -c 'echo "<3>disk on fire"; echo "<6>all is well"'`),
  );
  const unit = "noisy.service";
  const result = await asked.ask(cell, logAbsent, { unit });
  expect(result).toMatchObject({ verdict: "failed", summary: "1 line of priority err" });
  expect(result.excerpt.join("\n")).toContain("disk on fire");
  expect(await asked.ask(cell, logAbsent, { unit, except: ["on fire$"] })).toMatchObject({ verdict: "passed" });
  expect(await asked.ask(cell, logAbsent, { unit, priority: "info", pattern: "all is ill" })).toMatchObject({ verdict: "passed" });
  expect(await asked.ask(cell, logAbsent, { unit, priority: "info", pattern: "all is well" })).toMatchObject({ verdict: "failed" });
});

test("a pattern that would take for ever ends, and what was not searched is no good news", async () => {
  const cell = await asked.start(
    unitFiles(
      "long.service",
      `Type=oneshot\nExecStart=/bin/sh -c 'head -c 3000 /dev/zero | tr "\\\\0" a; echo; head -c 6000 /dev/zero | tr "\\\\0" b'`,
    ),
  );
  const unit = "long.service";
  expect(await asked.ask(cell, logAbsent, { unit, priority: "info", pattern: "(a+)+$c", except: ["bbbb$"] })).toMatchObject({
    verdict: "inconclusive",
  });
});
