import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openBakeLog } from "../adapters/local-host/bake-log.ts";
import { bakeLogs } from "../adapters/local-host/bake-logs.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { listBakes, showBake } from "./list-bakes.ts";
import { followLogs, readLogs, type LogLine } from "./read-logs.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-logs-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const FIRST = "20260101-100000-aaaaaa";
const SECOND = "20260101-110000-bbbbbb";

function writeLog(bake: string, lines: readonly (readonly [string, string])[], ended = true): void {
  const log = openBakeLog(folder, bake);
  for (const [step, line] of lines) {
    log.event({ type: "step-started", step });
    log.write(step, line);
  }
  if (ended) log.event({ type: "bake-ended", outcome: "completed" });
  log.close();
}

describe("the logs of a bake", () => {
  it("are those of the newest unless one is named, by its id, its beginning or its end", () => {
    writeLog(FIRST, [["base/apt", "one"]]);
    writeLog(SECOND, [["base/apt", "two: three"]]);
    const logs = bakeLogs(folder);
    expect(readLogs(logs, {})).toMatchObject({ bake: SECOND, lines: [{ step: "base/apt", line: "two: three" }] });
    for (const bake of [FIRST, "20260101-10", "aaaaaa"])
      expect(readLogs(logs, { bake }).lines).toEqual([{ step: "base/apt", line: "one" }]);
    expect(() => readLogs(logs, { bake: "20260101" })).toThrow(expect.objectContaining({ code: "REFERENCE_AMBIGUOUS" }));
    expect(() => readLogs(logs, { bake: "1999" })).toThrow(expect.objectContaining({ code: "BAKE_NOT_FOUND" }));
  });

  it("can be those of one step, by its address or name", () => {
    writeLog(FIRST, [
      ["base/apt", "a"],
      ["release/copy", "b"],
      ["release/quiet", "c"],
    ]);
    const logs = bakeLogs(folder);
    expect(readLogs(logs, { step: "release/copy" }).lines).toEqual([{ step: "release/copy", line: "b" }]);
    expect(readLogs(logs, { step: "apt" }).lines).toEqual([{ step: "base/apt", line: "a" }]);
    expect(() => readLogs(logs, { step: "release/cpoy" })).toThrow(
      expect.objectContaining({ code: "INPUT_INVALID", help: expect.objectContaining({ hint: expect.stringContaining("release/copy") }) }),
    );
  });

  it("of a bake that printed nothing are empty, and half a last line is left out", () => {
    mkdirSync(join(folder, FIRST));
    const logs = bakeLogs(folder);
    expect(readLogs(logs, {}).lines).toEqual([]);
    appendFileSync(join(folder, FIRST, "log.txt"), "base/apt: whole\nbase/apt: ha");
    expect(readLogs(logs, {}).lines).toEqual([{ step: "base/apt", line: "whole" }]);
  });

  it("can be followed until the bake ends", async () => {
    const log = openBakeLog(folder, FIRST);
    log.write("base/apt", "first");
    const seen: LogLine[] = [];
    let pauses = 0;
    const done = followLogs(bakeLogs(folder), {
      signal: new AbortController().signal,
      isRunning: async () => true,
      pause: async () => {
        pauses += 1;
        if (pauses === 1) log.write("base/apt", "second");
        if (pauses === 2) log.event({ type: "bake-ended" });
      },
      onLine: (line) => void seen.push(line),
    });
    expect(await done).toEqual({ bake: FIRST, lines: 2 });
    expect(seen.map(({ line }) => line)).toEqual(["first", "second"]);
    log.close();
  });

  it("end when the process of the bake is gone or the reader stops", async () => {
    writeLog(FIRST, [["base/apt", "one"]], false);
    const options = { pause: async () => undefined, onLine: () => undefined };
    expect(
      await followLogs(bakeLogs(folder), { ...options, signal: new AbortController().signal, isRunning: async () => false }),
    ).toMatchObject({ lines: 1 });
    expect(await followLogs(bakeLogs(folder), { ...options, signal: AbortSignal.abort(), isRunning: async () => true })).toMatchObject({
      lines: 0,
    });
  });
});

describe("bakes", () => {
  it("are listed with their outcome and what came from the cache, and shown with their steps", async () => {
    const images: ImageParts = openImages({ store: join(folder, "store") });
    const catalog = await images.catalog();
    const bake = (id: string, startedAt: string) => ({
      id,
      recipe: "shop",
      file: "/x/bakehouse.yaml",
      startedAt,
      outcome: "running" as const,
      by: "me@here",
    });
    await catalog.startBake(bake(FIRST, "2026-01-01T10:00:00.000Z"));
    await catalog.endBake(FIRST, { outcome: "failed", endedAt: "2026-01-01T10:00:02.500Z", message: "no" }, [
      { bake: FIRST, address: "base/apt", outcome: "hit", durationMs: 0, reason: "cached" },
      { bake: FIRST, address: "base/run", outcome: "failed", durationMs: 2000, reason: "exit code 1" },
    ]);
    await catalog.startBake(bake(SECOND, "2026-01-01T11:00:00.000Z"));
    const [second, first] = await listBakes(catalog, { limit: 10 });
    expect(second).toMatchObject({ id: SECOND, outcome: "running", hits: 0 });
    expect(first).toMatchObject({ id: FIRST, outcome: "failed", durationMs: 2500, hits: 1, baked: 0, failed: 1 });
    expect(await listBakes(catalog, { limit: 1 })).toHaveLength(1);
    const logs = await images.logs();
    expect((await showBake({ catalog, logs }, "aaaaaa")).steps.map(({ address }) => address)).toEqual(["base/apt", "base/run"]);
    expect(await showBake({ catalog, logs }, "last")).toMatchObject({ id: SECOND, hasLog: false });
    await expect(showBake({ catalog, logs }, "nothing")).rejects.toMatchObject({ code: "BAKE_NOT_FOUND" });
    await images.close();
  });
});
