import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decideCycle, describeCause, type CycleState } from "./decide.ts";
import type { CycleSettings, MaintenanceWindow } from "./model.ts";
import { nextRun } from "./schedule.ts";
import { readScheduleText } from "./schedule-text.ts";
import { windowAt } from "./window.ts";

const schedule = (text: string) => {
  const read = readScheduleText(text);
  if ("problem" in read) throw new Error(read.problem.message);
  return read.schedule;
};
const HOUR_MS = 3_600_000;
const settings = (more: Partial<CycleSettings> = {}): CycleSettings => ({
  schedule: schedule("every second Monday at 03:00 Europe/Warsaw from 2026-01-05"),
  triggers: [],
  lookMs: HOUR_MS,
  windows: [],
  ...more,
});
const state = (considered: string, more: Partial<CycleState> = {}): CycleState => ({
  considered: new Date(considered),
  found: [],
  ...more,
});
const saturday = (cutoff = HOUR_MS): MaintenanceWindow => {
  const opens = schedule("every Saturday at 22:00 Europe/Warsaw");
  if (opens.kind !== "cron") throw new Error("no cron");
  return { opens, lastsMs: 4 * HOUR_MS, cutoffMs: cutoff };
};

describe("decideCycle", () => {
  it("waits until the next run of the schedule", () => {
    expect(decideCycle(settings(), state("2026-01-06T00:00Z"), new Date("2026-01-06T00:00Z"))).toEqual({
      action: "wait",
      until: new Date("2026-01-19T02:00Z"),
      why: "nothing is due",
    });
  });

  it("catches up five missed runs with one", () => {
    const decision = decideCycle(settings(), state("2026-01-06T00:00Z"), new Date("2026-03-20T00:00Z"));
    expect(decision).toEqual({ action: "run", causes: [{ kind: "schedule", slot: new Date("2026-03-16T02:00Z"), missed: 4 }] });
    expect(decision.action === "run" ? describeCause(decision.causes[0]) : "").toBe(
      "its schedule: 2026-03-16T02:00Z, and 4 missed before it",
    );
  });

  it("notices that the clock went back behind what is dealt with", () => {
    expect(decideCycle(settings(), state("2036-01-01T00:00Z"), new Date("2026-01-01T00:00Z"))).toMatchObject({ action: "set-back" });
  });

  it("looks at its triggers in time, and puts security first", () => {
    const watching = settings({ triggers: ["packages", "security"] });
    const now = new Date("2026-01-06T02:00Z");
    expect(decideCycle(watching, state("2026-01-06T00:00Z"), now)).toEqual({ action: "look" });
    const looked = state("2026-01-06T00:00Z", { lookedAt: new Date("2026-01-06T01:30Z") });
    expect(decideCycle(watching, looked, now)).toEqual({ action: "wait", until: new Date("2026-01-06T02:30Z"), why: "nothing is due" });
    const found = [
      { trigger: "packages", what: "jq 1 → 2" },
      { trigger: "parent", what: "not asked for" },
      { trigger: "security", what: "openssl 3 → 4" },
    ] as const;
    expect(decideCycle(watching, { ...looked, found }, now)).toEqual({
      action: "run",
      causes: [
        { kind: "trigger", trigger: "security", what: "openssl 3 → 4" },
        { kind: "trigger", trigger: "packages", what: "jq 1 → 2" },
      ],
    });
  });

  it("waits for its window when it is due, and begins nothing after the cut-off", () => {
    const inWindows = settings({ windows: [saturday()] });
    const before = state("2026-01-06T00:00Z");
    expect(decideCycle(inWindows, before, new Date("2026-01-19T02:00Z"))).toEqual({
      action: "wait",
      until: new Date("2026-01-24T21:00Z"),
      why: "due, and waits for a maintenance window",
    });
    expect(decideCycle(inWindows, before, new Date("2026-01-24T21:00Z")).action).toBe("run");
    expect(decideCycle(inWindows, before, new Date("2026-01-24T23:59Z")).action).toBe("run");
    expect(decideCycle(inWindows, before, new Date("2026-01-25T00:00Z"))).toMatchObject({
      action: "wait",
      until: new Date("2026-01-31T21:00Z"),
    });
  });

  it("makes every run of the schedule due once, however often it is asked and however long it sleeps", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 20 * 24 * HOUR_MS }), { maxLength: 30 }), (sleeps) => {
        const plain = settings();
        let considered = new Date("2026-01-01T00:00Z");
        let now = considered;
        let dealt = 0;
        for (const sleep of sleeps) {
          now = new Date(now.getTime() + sleep);
          const decision = decideCycle(plain, { considered, found: [] }, now);
          if (decision.action !== "run") continue;
          for (const cause of decision.causes) if (cause.kind === "schedule") dealt += 1 + cause.missed;
          considered = now;
        }
        let planned = 0;
        for (
          let at = nextRun(plain.schedule ?? schedule("every day at 00:00"), new Date("2026-01-01T00:00Z"));
          at !== undefined && at <= now;
          planned++
        )
          at = nextRun(plain.schedule ?? schedule("every day at 00:00"), at);
        expect(dealt).toBe(planned);
      }),
      { numRuns: 40 },
    );
  });
});

describe("windowAt", () => {
  it("is open without windows", () => {
    expect(windowAt([], new Date()).state).toBe("open");
  });

  it.each([
    ["2026-10-24T19:59Z", "closed"], // 21:59 in Warsaw, in summer
    ["2026-10-24T20:00Z", "open"],
    ["2026-10-24T22:59Z", "open"],
    ["2026-10-24T23:00Z", "closing"],
    ["2026-10-24T23:59Z", "closing"],
    ["2026-10-25T00:00Z", "closed"], // four hours by the stopwatch; the clocks went back meanwhile
  ])("%s: %s", (moment, expected) => {
    expect(windowAt([saturday()], new Date(moment)).state).toBe(expected);
  });

  it("says when it opens next", () => {
    expect(windowAt([saturday()], new Date("2026-10-25T12:00Z"))).toEqual({ state: "closed", opensAt: new Date("2026-10-31T21:00Z") });
    expect(windowAt([saturday(), { ...saturday(), lastsMs: 8 * HOUR_MS }], new Date("2026-10-25T00:00Z")).state).toBe("open");
  });
});
