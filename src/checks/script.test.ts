import { afterEach, beforeEach, expect, test } from "vitest";
import { askedTree, refusals, type AskedTree } from "../../test/checks/asked-tree.ts";
import { script } from "./script.ts";

let tree: AskedTree;
beforeEach(() => {
  tree = askedTree();
});
afterEach(() => tree.dispose());

test.each([["checks/a.sh"], [{ file: "a.sh", arguments: ["x"], on: "tree" }]])("%j is fine", (options) =>
  expect(refusals(script, options)).toEqual([]),
);
test.each([["/etc/a.sh"], ["../a.sh"], [{ file: "a.sh", on: "host" }], [{ arguments: [] }]])("%j is refused", (options) =>
  expect(refusals(script, options).length).toBeGreaterThan(0),
);

const ask = (content: string, args: readonly string[] = [], timeoutMs = 20_000) =>
  tree.ask(script, { file: "a.sh", on: "tree", arguments: args }, { files: { "a.sh": content }, timeoutMs });

test.each([
  ["#!/bin/sh\ntest -e $BAKEHOUSE_TREE/etc/passwd && echo fine\n", "passed", "fine"],
  ["#!/bin/sh\necho first; echo last >&1; exit 3\n", "failed", "last"],
  ["#!/bin/sh\necho cannot tell; exit 75\n", "inconclusive", "cannot tell"],
  ["#!/usr/bin/no-such-thing\n", "error", "cannot be run"],
  ["#!/bin/sh\nno-such-program-here\n", "error", "cannot be run"],
])("%j is %s", async (content, verdict, summary) => {
  const result = await ask(content);
  expect(result.verdict).toBe(verdict);
  expect(result.summary).toContain(summary);
});

test("arguments reach it as they are", async () => {
  expect(await ask('#!/bin/sh\n[ "$1" = "a b" ] && [ "$2" = "\\$x" ] && echo "$#"\n', ["a b", "$x"])).toMatchObject({ verdict: "passed" });
});

test("one that hangs has given no answer, and nothing of it is left", async () => {
  const result = await ask("#!/bin/sh\nsleep 4711 & sleep 4712\n", [], 300);
  expect(result).toMatchObject({ verdict: "error" });
});

test("one that did not come with the image has given no answer", async () => {
  expect(await tree.ask(script, { file: "a.sh", on: "tree" })).toMatchObject({ verdict: "error" });
});
