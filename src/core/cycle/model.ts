/** Every n-th day, week or month, counted from the one that holds the schedule's `from`. Weeks begin on Monday. */
export interface Period {
  readonly count: number;
  readonly unit: "days" | "weeks" | "months";
}

/** Runs at times of the clock on the wall of a time zone. */
export interface CronSchedule {
  readonly kind: "cron";
  /** Five fields: minute, hour, day of the month, month, day of the week. */
  readonly cron: string;
  readonly every: Period;
  /** `YYYY-MM-DD` in the zone: no run before it, and what `every` counts from. */
  readonly from: string;
  /** IANA name, such as `Europe/Warsaw`. */
  readonly zone: string;
}

/** Runs after equal spans of time, whatever the clocks on the wall do. */
export interface RateSchedule {
  readonly kind: "rate";
  readonly everyMs: number;
  /** The first run: milliseconds since 1970. */
  readonly fromMs: number;
}

export type Schedule = CronSchedule | RateSchedule;

/** When a cycle may begin and work. */
export interface MaintenanceWindow {
  readonly opens: CronSchedule;
  readonly lastsMs: number;
  /** In the last part of the window nothing begins any more; what is at work goes on until the end. */
  readonly cutoffMs: number;
}

/**
 * What makes a cycle due besides its schedule. `security`: a locked package has a newer version in the security suite;
 * `packages`: in any suite; `parent`: the image or channel that a layer stands on moved; `sources`: what a foundation is
 * made from changed (a tarball, an OCI image).
 */
export const TRIGGERS = ["security", "parent", "sources", "packages"] as const;
export type Trigger = (typeof TRIGGERS)[number];

export interface CycleSettings {
  readonly schedule?: Schedule;
  readonly triggers: readonly Trigger[];
  /** How often the triggers are looked at. */
  readonly lookMs: number;
  readonly windows: readonly MaintenanceWindow[];
}
