import { Cron } from "croner";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cronProblem } from "./cron-text.ts";
import type { CronSchedule, Schedule } from "./model.ts";
import { COUNTED, nextRun, runsBetween } from "./schedule.ts";
import { describeSpan, readCronSchedule, readRate, readScheduleText } from "./schedule-text.ts";
import { DAY_MS, localDay } from "./zone.ts";

const words = (text: string): Schedule => {
  const read = readScheduleText(text);
  if ("problem" in read) throw new Error(`${read.problem.message}: ${read.problem.hint}`);
  return read.schedule;
};
const cron = (line: string, more: { readonly every?: string; readonly from?: string; readonly zone?: string } = {}): CronSchedule => {
  const read = readCronSchedule({ cron: line, ...more });
  if ("problem" in read || read.schedule.kind !== "cron") throw new Error("no cron");
  return read.schedule;
};
const runs = (schedule: Schedule, after: string, count: number): readonly string[] => {
  const found: string[] = [];
  for (let at: Date | undefined = new Date(after); found.length < count && at !== undefined;) {
    at = nextRun(schedule, at);
    if (at !== undefined) found.push(at.toISOString().replace(":00.000Z", "Z"));
  }
  return found;
};

describe("nextRun", () => {
  it.each([
    [
      "every second Monday at 03:00 Europe/Warsaw from 2026-01-05",
      "2026-01-01T00:00Z",
      ["2026-01-05T02:00Z", "2026-01-19T02:00Z", "2026-02-02T02:00Z"],
    ],
    ["every other Monday at 3:00 from 2026-01-12", "2026-01-01T00:00Z", ["2026-01-12T03:00Z", "2026-01-26T03:00Z"]],
    [
      "every 2nd Monday, Thursday at 03:00 from 2026-01-08",
      "2026-01-01T00:00Z",
      ["2026-01-08T03:00Z", "2026-01-19T03:00Z", "2026-01-22T03:00Z"],
    ],
    ["every weekday at 22:30", "2026-11-27T23:00Z", ["2026-11-30T22:30Z", "2026-12-01T22:30Z"]],
    ["every third day at 04:00 from 2026-03-01", "2026-03-01T05:00Z", ["2026-03-04T04:00Z", "2026-03-07T04:00Z"]],
    ["every first Monday of the month at 03:00", "2026-01-01T00:00Z", ["2026-01-05T03:00Z", "2026-02-02T03:00Z"]],
    ["every last Friday of the month at 03:00", "2026-01-01T00:00Z", ["2026-01-30T03:00Z", "2026-02-27T03:00Z"]],
    ["every 14 days from 2026-01-05", "2026-01-05T00:00Z", ["2026-01-19T00:00Z", "2026-02-02T00:00Z"]],
    ["every 6 hours", "2026-01-05T01:00Z", ["2026-01-05T06:00Z", "2026-01-05T12:00Z"]],
  ])("%s", (text, after, expected) => {
    expect(runs(words(text), after, expected.length)).toEqual(expected);
  });

  it("runs once after a gap, and once in an hour that comes twice", () => {
    const night = words("every day at 02:30 Europe/Warsaw");
    expect(runs(night, "2026-03-28T12:00Z", 2)).toEqual(["2026-03-29T01:00Z", "2026-03-30T00:30Z"]);
    expect(runs(night, "2026-10-24T12:00Z", 2)).toEqual(["2026-10-25T00:30Z", "2026-10-26T01:30Z"]);
    // asked between the two 02:30s: it is not run again
    expect(runs(night, "2026-10-25T00:45Z", 1)).toEqual(["2026-10-26T01:30Z"]);
    // half an hour, on the other side of the world
    expect(runs(words("every day at 02:15 Australia/Lord_Howe"), "2026-10-03T00:00Z", 2)).toEqual([
      "2026-10-03T15:30Z",
      "2026-10-04T15:15Z",
    ]);
  });

  it("runs in both hours when the hour is not named", () => {
    expect(runs(cron("0 * * * *", { zone: "Europe/Warsaw" }), "2026-10-24T23:30Z", 3)).toEqual([
      "2026-10-25T00:00Z",
      "2026-10-25T01:00Z",
      "2026-10-25T02:00Z",
    ]);
  });

  it("counts months and finds nothing where there is nothing", () => {
    expect(runs(cron("0 3 1 * *", { every: "3 months", from: "2026-01-01" }), "2026-01-02T00:00Z", 2)).toEqual([
      "2026-04-01T03:00Z",
      "2026-07-01T03:00Z",
    ]);
    expect(nextRun(cron("0 0 30 2 *"), new Date())).toBeUndefined();
  });

  it("keeps the turn of weeks over the change of the clocks, for years", () => {
    const schedule = words("every second Monday at 03:00 Europe/Warsaw from 2026-01-05");
    let at = new Date("2026-01-01T00:00Z");
    for (let turn = 0; turn < 120; turn++) {
      const next = nextRun(schedule, at);
      if (next === undefined) throw new Error("it ended");
      if (turn > 0) expect(localDay(next, "Europe/Warsaw").day - localDay(at, "Europe/Warsaw").day).toBe(14);
      at = next;
    }
  });
});

const ZONES = ["UTC", "Europe/Warsaw", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia", "Asia/Kathmandu"];
const schedules = fc.oneof(
  fc
    .record({
      minute: fc.integer({ min: 0, max: 59 }),
      hour: fc.integer({ min: 0, max: 23 }),
      day: fc.constantFrom("*", "MON", "TUE,SAT", "MON-FRI"),
      every: fc.constantFrom("1 days", "2 weeks", "3 days", "2 months"),
      zone: fc.constantFrom(...ZONES),
    })
    .map(({ minute, hour, day, every, zone }): Schedule => cron(`${minute} ${hour} * * ${day}`, { every, zone, from: "2025-12-29" })),
  fc.integer({ min: 1, max: 400 }).map((hours): Schedule => {
    const read = readRate(`${hours}h`, "2026-01-01");
    if ("problem" in read) throw new Error(read.problem.message);
    return read.schedule;
  }),
);
/** Weeks around both changes of the clocks, to the second. */
const moments = fc
  .integer({ min: Date.UTC(2026, 1, 20) / 1000, max: Date.UTC(2026, 10, 10) / 1000 })
  .map((seconds) => new Date(seconds * 1000));

describe("nextRun and runsBetween agree", () => {
  it("whatever the schedule, the zone and the moment", () => {
    fc.assert(
      fc.property(schedules, moments, fc.integer({ min: 0, max: 40 * DAY_MS }), (schedule, after, span) => {
        const until = new Date(after.getTime() + span);
        const walked: Date[] = [];
        for (let at = nextRun(schedule, after); at !== undefined && at <= until; at = nextRun(schedule, at)) walked.push(at);
        for (const [index, run] of walked.entries()) expect(run.getTime()).toBeGreaterThan((walked[index - 1] ?? after).getTime());
        const { latest, count } = runsBetween(schedule, after, until);
        expect(latest?.toISOString()).toBe(walked.at(-1)?.toISOString());
        expect(count).toBe(Math.min(walked.length, COUNTED));
      }),
      { numRuns: 60 },
    );
  });

  it("gives each run to one of two adjoining spans, never to both or none", () => {
    fc.assert(
      fc.property(
        schedules,
        moments,
        fc.integer({ min: 1000, max: 30 * DAY_MS }),
        fc.integer({ min: 1000, max: 30 * DAY_MS }),
        (schedule, start, one, two) => {
          const middle = new Date(start.getTime() + one);
          const end = new Date(middle.getTime() + two);
          const apart = runsBetween(schedule, start, middle).count + runsBetween(schedule, middle, end).count;
          expect(Math.min(apart, COUNTED)).toBe(runsBetween(schedule, start, end).count); // counted up to there
        },
      ),
      { numRuns: 60 },
    );
  });

  it("once a local day for a time of the day, also on the days of 23 and 25 hours", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }), fc.constantFrom(...ZONES), (hour, minute, zone) => {
        const schedule = cron(`${minute} ${hour} * * *`, { zone });
        const days: number[] = [];
        for (
          let at = nextRun(schedule, new Date("2026-03-01T00:00Z"));
          at !== undefined && at < new Date("2026-11-15");
          at = nextRun(schedule, at)
        )
          days.push(localDay(at, zone).day);
        expect(days.every((day, index) => index === 0 || day === (days[index - 1] ?? 0) + 1)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });
});

describe("cronProblem", () => {
  it.each([
    ["61 3 * * MON", "the minute 61 is not between 0 and 59"],
    ["0 3 * * MOO", 'the day of the week "MOO" is not understood'],
    ["0 3 * *", "has 4 fields, a cron line has five"],
    ["", "has 0 fields, a cron line has five"],
    ["0 25 * * *", "the hour 25 is not between 0 and 23"],
    ["5/10 3 * * *", 'the minute "5/10" has a step without a range'],
    ["0 3 * * FRI-MON", "the day of the week FRI-MON ends before it begins"],
    ["*/0 3 * * *", 'the minute "*/0" has a step that makes no sense'],
    ["0 3#1 * * *", 'the hour "3#1" is not understood'],
  ])("%s", (line, message) => {
    expect(cronProblem(line)?.message).toBe(message);
  });

  it("lets nothing through that croner refuses", () => {
    const part = fc.constantFrom(
      "*",
      "*/5",
      "1",
      "7",
      "1-5",
      "1,3",
      "L",
      "MON",
      "MON#2",
      "FRI#L",
      "JAN",
      "31",
      "0",
      "1-9/2",
      "x",
      "?",
      "W",
    );
    fc.assert(
      fc.property(fc.array(part, { minLength: 5, maxLength: 5 }), (parts) => {
        const line = parts.join(" ");
        fc.pre(cronProblem(line) === undefined);
        expect(() => new Cron(line, { paused: true })).not.toThrow();
      }),
      { numRuns: 3000 },
    );
  });
});

describe("what is not understood", () => {
  it.each([
    ["every second Wensday at 03:00", 'has "wensday" where a day should be', "did you mean wednesday?"],
    ["every Monday", "says no time of the day", undefined],
    ["Mondays at 3", "does not begin with every", undefined],
    ["every Monday at 27:00", "has the time 27:00, which no clock shows", undefined],
    ["every Monday at 03:00 Europe/Warsow", 'there is no time zone "Europe/Warsow"', "did you mean Europe/Warsaw?"],
    ["every Monday at 03:00 from 2026-02-30", 'begins on "2026-02-30"', undefined],
    ["every tenth Monday of the month at 03:00", 'counts with "tenth"', undefined],
    ["every 500 weeks", 'has the rate "500w"', undefined],
  ])("%s", (text, message, hint) => {
    const read = readScheduleText(text);
    expect("problem" in read ? read.problem : read).toMatchObject({ message, ...(hint === undefined ? {} : { hint }) });
  });

  it("shows spans in their two greatest units", () => {
    expect([describeSpan(14 * DAY_MS), describeSpan(5_400_000), describeSpan(90_061_000), describeSpan(0)]).toEqual([
      "14d",
      "1h 30m",
      "1d 1h",
      "0s",
    ]);
  });
});
