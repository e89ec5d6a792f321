import type { MaintenanceWindow } from "./model.ts";
import { nextRun, runsBetween } from "./schedule.ts";

/**
 * Where a moment lies. `open`: work may begin; `closing`: past the cut-off, what is at work may go on; `closed`: neither.
 */
export type WindowState =
  | { readonly state: "open" | "closing"; readonly endsAt: Date; readonly opensAt?: Date }
  | { readonly state: "closed"; readonly opensAt?: Date };

/**
 * Looks at all windows of a cycle; with several, one that is open counts. Without any, every moment is open.
 *
 * @returns `opensAt`: when work may begin next, if not now
 */
export function windowAt(windows: readonly MaintenanceWindow[], now: Date): WindowState {
  if (windows.length === 0) return { state: "open", endsAt: new Date(8.64e15) };
  const states = windows.map((window) => oneWindow(window, now));
  const open = latestEnd(states.filter(({ state }) => state === "open"));
  if (open !== undefined) return open;
  const opensAt = earliest(states.flatMap((state) => (state.opensAt === undefined ? [] : [state.opensAt])));
  const next = opensAt === undefined ? {} : { opensAt };
  const closing = latestEnd(states.filter(({ state }) => state === "closing"));
  return closing === undefined ? { state: "closed", ...next } : { ...closing, ...next };
}

function oneWindow({ opens, lastsMs, cutoffMs }: MaintenanceWindow, now: Date): WindowState {
  const opensAt = nextRun(opens, now);
  const next = opensAt === undefined ? {} : { opensAt };
  // an opening exactly `lastsMs` ago has ended: runsBetween leaves its first moment out
  const { latest } = runsBetween(opens, new Date(now.getTime() - lastsMs), now);
  if (latest === undefined) return { state: "closed", ...next };
  const endsAt = new Date(latest.getTime() + lastsMs);
  return now.getTime() < endsAt.getTime() - cutoffMs ? { state: "open", endsAt } : { state: "closing", endsAt, ...next };
}

type OpenState = Extract<WindowState, { readonly endsAt: Date }>;

function latestEnd(states: readonly WindowState[]): OpenState | undefined {
  return states.filter((state): state is OpenState => "endsAt" in state).toSorted((a, b) => b.endsAt.getTime() - a.endsAt.getTime())[0];
}

const earliest = (moments: readonly Date[]): Date | undefined => moments.toSorted((a, b) => a.getTime() - b.getTime())[0];
