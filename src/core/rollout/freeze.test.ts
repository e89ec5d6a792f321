import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MaintenanceWindow } from "../cycle/model.ts";
import { fitInto, frozenAt, lineAt, type Calendar, type LineStop, type RolloutFreeze } from "./freeze.ts";

const HOUR = 3_600_000;
const NONE: Calendar = { freezes: [], stops: [], windows: [] };
const at = (text: string): Date => new Date(text);
const shown = (moment: Date | undefined): string | undefined => moment?.toISOString().replace(":00.000", "");

const NIGHT: RolloutFreeze = { cron: "0 22 * * *", durationMs: 8 * HOUR, zone: "Europe/Warsaw", reason: "night" };
const saturdays = (cutoffMs = 0): MaintenanceWindow => ({
  opens: { kind: "cron", cron: "0 1 * * 6", every: { count: 1, unit: "days" }, from: "2024-01-01", zone: "Europe/Warsaw" },
  ...{ lastsMs: 4 * HOUR, cutoffMs },
});
const stop = (rest: Partial<LineStop> = {}): LineStop => ({
  ...{ owner: "ada", reason: "disks are dying", from: at("2026-06-01T00:00Z"), exempt: [] },
  ...rest,
});

describe("a freeze", () => {
  test.each([
    ["of a plain night", "2026-06-01T21:00Z", "2026-06-02T04:00Z"],
    ["across the skipped hour of spring: the night is 8 hours of elapsed time", "2026-03-28T23:00Z", "2026-03-29T05:00Z"],
    ["across the hour that comes twice in autumn", "2026-10-24T23:00Z", "2026-10-25T04:00Z"],
  ])("%s", (_what, now, until) => {
    const frozen = frozenAt({ ...NONE, freezes: [NIGHT] }, at(now), "d");
    expect([frozen?.reason, shown(frozen?.until)]).toEqual(["night", until]);
  });

  test("begins with its first moment and is over with its last, in its zone", () => {
    const frozen = (now: string): boolean => frozenAt({ ...NONE, freezes: [NIGHT] }, at(now), "d") !== undefined;
    // 22:00 in Warsaw is 21:00 UTC in winter, 20:00 in summer
    expect(["2026-01-10T20:59:59Z", "2026-01-10T21:00Z", "2026-01-11T04:59:59Z", "2026-01-11T05:00Z"].map(frozen)).toEqual([
      ...[false, true, true, false],
    ]);
    expect(["2026-07-10T19:59:59Z", "2026-07-10T20:00Z"].map(frozen)).toEqual([false, true]);
  });

  test("does not hold up what is exempt", () => {
    const calendar = { freezes: [{ ...NIGHT, exempt: ["fix"] }], stops: [stop({ exempt: ["fix"] })], windows: [] };
    expect(frozenAt(calendar, at("2026-06-01T21:00Z"), "fix")).toBeUndefined();
    expect(frozenAt(calendar, at("2026-06-01T21:00Z"), "d")?.reason).toBe("the line is stopped by ada: disks are dying; night");
  });
});

describe("a line that is stopped", () => {
  test.each([
    ["before it is", "2026-05-31T23:59Z", {}, undefined],
    ["until it is lifted", "2026-06-01T00:00Z", {}, [undefined]],
    ["until it expires", "2026-06-01T00:00Z", { expires: at("2026-06-02T12:00Z") }, ["2026-06-02T12:00Z"]],
    ["when it has expired", "2026-06-02T12:00Z", { expires: at("2026-06-02T12:00Z") }, undefined],
  ] as const)("%s", (_what, now, rest, until) => {
    const frozen = frozenAt({ ...NONE, stops: [stop(rest)] }, at(now), "d");
    expect(frozen === undefined ? undefined : [shown(frozen.until)]).toEqual(until);
  });

  test("into a night ends with the night", () => {
    const stops = [stop({ expires: at("2026-06-02T02:00Z") })];
    expect(shown(frozenAt({ ...NONE, stops, freezes: [NIGHT] }, at("2026-06-01T12:00Z"), "d")?.until)).toBe("2026-06-02T04:00Z");
  });
});

describe("maintenance windows", () => {
  test.each([
    ["a winter Saturday", "2026-02-07T00:00Z", undefined],
    ["before a winter Saturday", "2026-02-06T23:59Z", "2026-02-07T00:00Z"],
    ["before a summer Saturday, an hour earlier by UTC", "2026-07-03T12:00Z", "2026-07-03T23:00Z"],
    ["in the last part of one", "2026-02-07T03:30Z", "2026-02-14T00:00Z"],
  ])("%s", (_what, now, until) => {
    const frozen = frozenAt({ ...NONE, windows: [saturdays(HOUR)] }, at(now), "d");
    expect(shown(frozen?.until)).toBe(until);
    expect(frozen?.reason).toBe(until === undefined ? undefined : "no maintenance window is open");
  });
});

describe("where a rollout fits in", () => {
  const fit = (calendar: Partial<Calendar>, now: string, hours: number) => {
    const { begins, whole } = fitInto({ ...NONE, ...calendar }, { now: at(now), target: "d", needsMs: hours * HOUR });
    return [shown(begins), shown(whole?.from), shown(whole?.until)];
  };
  test.each([
    ["nothing is in its way", {}, "2026-06-01T10:00Z", 1000, ["2026-06-01T10:00Z", "2026-06-01T10:00Z", undefined]],
    [
      "today, before the night",
      { freezes: [NIGHT] },
      "2026-06-01T10:00Z",
      10,
      ["2026-06-01T10:00Z", "2026-06-01T10:00Z", "2026-06-01T20:00Z"],
    ],
    [
      "after the night, where it is whole",
      { freezes: [NIGHT] },
      "2026-06-01T10:00Z",
      11,
      ["2026-06-01T10:00Z", "2026-06-02T04:00Z", "2026-06-02T20:00Z"],
    ],
    ["nowhere whole: it goes on each day", { freezes: [NIGHT] }, "2026-06-01T10:00Z", 18, ["2026-06-01T10:00Z", undefined, undefined]],
    [
      "the day after the clocks went forward",
      { freezes: [NIGHT] },
      "2026-03-28T22:00Z",
      15,
      ["2026-03-29T05:00Z", "2026-03-29T05:00Z", "2026-03-29T20:00Z"],
    ],
    ["nobody knows when", { stops: [stop()] }, "2026-06-01T10:00Z", 1, [undefined, undefined, undefined]],
    ["a Saturday", { windows: [saturdays(HOUR)] }, "2026-02-04T10:00Z", 3, ["2026-02-07T00:00Z", "2026-02-07T00:00Z", "2026-02-07T03:00Z"]],
    [
      "a Saturday that is not long enough",
      { windows: [saturdays(HOUR)] },
      "2026-02-04T10:00Z",
      4,
      ["2026-02-07T00:00Z", undefined, undefined],
    ],
  ] as const)("%s", (_what, calendar, now, hours, expected) => expect(fit(calendar, now, hours)).toEqual(expected));
});

test("when it says that something may start, it may, and a moment before it may not", () => {
  const zone = fc.constantFrom("Europe/Warsaw", "America/New_York", "UTC", "Australia/Lord_Howe");
  const cron = fc.tuple(fc.integer({ min: 0, max: 59 }), fc.integer({ min: 0, max: 23 }), fc.constantFrom("*", "0", "6", "1-5"));
  const freezes = fc.array(
    fc.record({
      cron: cron.map(([minute, hour, day]) => `${minute} ${hour} * * ${day}`),
      durationMs: fc.integer({ min: 1, max: 40 }).map((hours) => hours * HOUR),
      zone,
    }),
    { maxLength: 2 },
  );
  const windows = fc.array(
    fc
      .record({ hour: fc.nat(23), hours: fc.integer({ min: 2, max: 30 }), cutoff: fc.nat(1), zone })
      .map(({ hour, hours, cutoff, zone: name }): MaintenanceWindow => ({
        opens: { kind: "cron", cron: `0 ${hour} * * *`, every: { count: 1, unit: "days" }, from: "2024-01-01", zone: name },
        ...{ lastsMs: hours * HOUR, cutoffMs: cutoff * HOUR },
      })),
    { maxLength: 2 },
  );
  const now = fc
    .integer({ min: Date.UTC(2026, 2, 20) / 60_000, max: Date.UTC(2026, 3, 10) / 60_000 })
    .map((minutes) => new Date(minutes * 60_000));
  fc.assert(
    fc.property(freezes, windows, now, fc.nat(20), (frozen, open, moment, hours) => {
      const calendar = { freezes: frozen, windows: open, stops: [] };
      const { frozen: state, holdsUntil } = lineAt(calendar, moment, "d");
      const { until } = state ?? {};
      for (let ms = moment.getTime(); ms < Math.min(holdsUntil?.getTime() ?? 0, moment.getTime() + 24 * HOUR); ms += HOUR * 2)
        expect(frozenAt(calendar, new Date(ms), "d") === undefined).toBe(state === undefined);
      if (until !== undefined) {
        expect(frozenAt(calendar, until, "d")).toBeUndefined();
        expect(frozenAt(calendar, new Date(until.getTime() - 1000), "d")).toBeDefined();
      }
      const { whole } = fitInto(calendar, { now: moment, target: "d", needsMs: hours * HOUR });
      if (whole?.until === undefined) return;
      expect(whole.until.getTime() - whole.from.getTime()).toBeGreaterThanOrEqual(hours * HOUR);
      expect(frozenAt(calendar, whole.until, "d")).toBeDefined();
      for (let ms = whole.from.getTime(); ms < whole.until.getTime(); ms += HOUR * 2)
        expect(frozenAt(calendar, new Date(ms), "d")).toBeUndefined();
    }),
    { numRuns: 15 },
  );
});
