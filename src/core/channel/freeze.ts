import { Cron } from "croner";
import type { FreezeWindow } from "./model.ts";

/** A window that is open at a moment. */
export interface OpenWindow {
  readonly window: FreezeWindow;
  /** When it is over, with windows that begin before that counted in. */
  readonly until: Date;
}

/** So many windows in a row are one freeze without an end. A guess. */
const MAX_IN_A_ROW = 1000;

/** The windows that are open at `now`. A window begins when its cron says so in its zone, and lasts in elapsed time, across changes of the clocks. */
export const openWindows = (windows: readonly FreezeWindow[], now: Date): readonly OpenWindow[] =>
  windows.flatMap((window): readonly OpenWindow[] => {
    const until = endOfWindow(window, now);
    return until === undefined ? [] : [{ window, until }];
  });

function endOfWindow({ cron, zone, durationMs }: FreezeWindow, now: Date): Date | undefined {
  const schedule = new Cron(cron, { timezone: zone });
  let end: Date | undefined;
  // the first that begins less than its duration ago; then all that begin before its end
  let start = schedule.nextRun(new Date(now.getTime() - durationMs));
  for (let count = 0; start !== null && count < MAX_IN_A_ROW && start.getTime() <= (end ?? now).getTime(); count++) {
    end = new Date(start.getTime() + durationMs);
    start = schedule.nextRun(start);
  }
  return end;
}

/** What is wrong with a cron expression, or nothing. */
export function cronProblem(cron: string): string | undefined {
  try {
    return new Cron(cron, { timezone: "UTC" }).nextRun(new Date(0)) === null ? "never happens" : undefined;
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^CronPattern: /, "") : String(error);
  }
}

export function isTimeZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }) !== undefined;
  } catch {
    return false;
  }
}
