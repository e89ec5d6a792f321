import { afterAll, beforeAll, expect, test } from "vitest";
import { askedCells, unitFiles, type AskedCells } from "../../test/checks/asked-cell.ts";
import { refusals } from "../../test/checks/asked-tree.ts";
import { service } from "./service.ts";

let asked: AskedCells;
beforeAll(async () => void (asked = await askedCells()));
afterAll(() => asked?.dispose());

test.each([["nginx.service"], [["a.service", "b@c.socket"]], [{ units: ["a.timer"], enabled: false, settle: "0s" }]])(
  "%j is fine",
  (options) => expect(refusals(service, options)).toEqual([]),
);
test.each([["nginx"], [[]], [{ units: ["a.service"], settle: "1h" }], [{ unit: "a.service" }]])("%j is refused", (options) =>
  expect(refusals(service, options).length).toBeGreaterThan(0),
);

test("a service that runs and stays passes; what is wrong with another is said", async () => {
  const cell = await asked.start({
    ...unitFiles("off.service", "ExecStart=/bin/sleep 1000"),
    ...unitFiles("broken.service", "ExecStart=/bin/sh -c 'echo I give up; exit 3'"),
  });
  expect(await asked.ask(cell, service, { units: ["nginx.service"], settle: "300ms" }, { retries: 50 })).toMatchObject({
    verdict: "passed",
  });
  expect(await asked.ask(cell, service, "none.service")).toMatchObject({ verdict: "failed", summary: "there is no unit none.service" });
  const broken = await asked.ask(cell, service, "broken.service");
  expect(broken).toMatchObject({ verdict: "failed", summary: "broken.service is failed (failed), exit-code (exit 3)" });
  expect(broken.excerpt.join("\n")).toContain("I give up");
  const off = { units: ["off.service"], settle: "0s" };
  // a unit without [Install] that something wants is static: it starts by itself
  expect(await asked.ask(cell, service, off)).toMatchObject({ verdict: "passed" });
});

test("a service that dies three seconds after it started fails, whatever it answered before", async () => {
  const cell = await asked.start({ "/etc/systemd/system/three.service": "[Service]\nExecStart=/bin/sleep 3\n" });
  await cell.exec(["systemctl", "start", "three.service"], { timeoutMs: 60_000 });
  const result = await asked.ask(cell, service, { units: ["three.service"], settle: "5s" }, { retries: 50 });
  expect(result.verdict).toBe("failed");
  expect(result.summary).toContain("three.service is inactive (dead)");
});

test("one that is started anew again and again does not stay up, although it is active whenever it is asked", async () => {
  const cell = await asked.start(
    unitFiles("again.service", "ExecStart=/bin/sleep 0.7\nRestart=always\nRestartSec=1ms\nStartLimitIntervalSec=0"),
  );
  const result = await asked.ask(cell, service, { units: ["again.service"], settle: "2s" }, { retries: 50 });
  expect(result.verdict).toBe("failed");
});
