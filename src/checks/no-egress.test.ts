import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, unitFiles, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { noEgress } from "./no-egress.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([[{}], [{ settle: "1s", allow: ["*.pool.ntp.org", "chrony.service"] }]])("%j is fine", (options) =>
  expect(refusals(noEgress, options)).toEqual([]),
);
test.each([[{ settle: 1 }], [{ allow: [""] }], [{ allow: "*" }]])("%j is refused", (options) =>
  expect(refusals(noEgress, options).length).toBeGreaterThan(0),
);

test("a machine that minds its own business passes", async () => {
  expect(await asked.ask(await asked.start(), noEgress, {})).toMatchObject({ verdict: "passed", summary: "nothing was tried" });
});

test("who tried what is told, unless it is allowed", async () => {
  const cell = await asked.start(unitFiles("phone.service", "Type=oneshot\nExecStart=-/bin/bash -c 'exec 3<>/dev/tcp/192.0.2.1/443'"));
  const result = await asked.ask(cell, noEgress, { settle: "200ms" });
  expect(result.verdict).toBe("failed");
  expect(result.summary).toContain("tried tcp 192.0.2.1:443");
  expect(await asked.ask(cell, noEgress, { allow: ["192.0.2.*"] })).toMatchObject({ verdict: "passed" });
});
