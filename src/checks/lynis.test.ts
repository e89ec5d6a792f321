import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { lynis } from "./lynis.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([[{}], [{ minIndex: 60, warnings: false, except: ["AUTH-9204"], tests: ["AUTH-9204"] }]])("%j is fine", (options) =>
  expect(refusals(lynis, options)).toEqual([]),
);
test.each([[{ minIndex: 101 }], [{ tests: [] }], [{ tests: ["auth"] }]])("%j is refused", (options) =>
  expect(refusals(lynis, options).length).toBeGreaterThan(0),
);

/** An audit takes 6 s of a processor, whatever it looks at. */
test("a warning fails, and a machine without one that is not meant passes", async () => {
  const toor = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0:toor:/root:/bin/sh\n";
  const cell = await asked.start({ "/etc/passwd": toor });
  const result = await asked.ask(cell, lynis, { tests: ["AUTH-9204"] });
  expect(result.verdict).toBe("failed");
  expect(result.summary).toContain("AUTH-9204");
  expect(await asked.ask(cell, lynis, { tests: ["AUTH-9204"], except: ["AUTH-9204"] })).toMatchObject({ verdict: "passed" });
});
