import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { tcp } from "./tcp.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([[80], [{ port: 22 }]])("%j is fine", (options) => expect(refusals(tcp, options)).toEqual([]));
test.each([[0], [70_000], ["80"], [{ ports: [80] }]])("%j is refused", (options) =>
  expect(refusals(tcp, options).length).toBeGreaterThan(0),
);

test("an open port passes, a closed one fails", async () => {
  const cell = await asked.start();
  expect(await asked.ask(cell, tcp, 80, { retries: 100 })).toMatchObject({ verdict: "passed" });
  expect(await asked.ask(cell, tcp, { port: 81 })).toMatchObject({ verdict: "failed", summary: "port 81 refuses connections" });
});
