import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { portClosed } from "./port-closed.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([[[]], [[22, "53/udp"]], [{ expect: [80], loopback: true }]])("%j is fine", (options) =>
  expect(refusals(portClosed, options)).toEqual([]),
);
test.each([[[0]], [["80"]], [{ ports: [80] }]])("%j is refused", (options) =>
  expect(refusals(portClosed, options).length).toBeGreaterThan(0),
);

test("expected ports pass; another one is named with its program", async () => {
  const cell = await asked.start();
  expect(await asked.ask(cell, portClosed, [80])).toMatchObject({ verdict: "passed", answered: ["80/tcp"] });
  const result = await asked.ask(cell, portClosed, []);
  expect(result.verdict).toBe("failed");
  expect(result.summary).toContain("80/tcp on 0.0.0.0 (nginx)");
});
