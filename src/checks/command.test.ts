import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import type { Cell } from "../ports/cells.ts";
import { command } from "./command.ts";

let asked: AskedCells;
let cell: Cell;
beforeAll(async () => {
  asked = await askedCells();
  cell = await asked.start();
});
afterAll(() => asked?.dispose());

test.each([["true"], [{ run: ["nginx", "-t"], exit: 1, contains: "x" }]])("%j is fine", (options) =>
  expect(refusals(command, options)).toEqual([]),
);
test.each([[""], [{ run: [] }], [{ run: "x", exit: 256 }], [{ run: "x", matches: "(" }], [["nginx", "-t"]]])("%j is refused", (options) =>
  expect(refusals(command, options).length).toBeGreaterThan(0),
);

test.each([
  ["test -e /etc/passwd"],
  [{ run: ["/bin/sh", "-c", "exit 3"], exit: 3 }],
  [{ run: "echo one; echo two", contains: "one", matches: "^two$" }],
  [{ run: "no-such-program", exit: 127 }],
])("%j passes", async (options) => expect(await asked.ask(cell, command, options)).toMatchObject({ verdict: "passed" }));

test.each([
  ["exit 2", "it ended with 2, not 0"],
  [{ run: "true", exit: 1 }, "it ended with 0, not 1"],
  [{ run: "echo one", contains: "two" }, 'it does not print "two"'],
  [{ run: "echo one", matches: "^two" }, "what it prints does not match ^two"],
])("%j fails: %s", async (options, summary) =>
  expect(await asked.ask(cell, command, options)).toMatchObject({ verdict: "failed", summary }),
);

test("a program that the image does not have gave no answer", async () => {
  expect(await asked.ask(cell, command, "no-such-program --version")).toMatchObject({
    verdict: "error",
    summary: "the command was not found in the image",
  });
});

test("one that hangs is ended and gave no answer", async () => {
  expect(await asked.ask(cell, command, "sleep 4713", { timeoutMs: 400 })).toMatchObject({ verdict: "error" });
});
