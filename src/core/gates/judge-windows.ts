import { windowAt } from "../cycle/window.ts";
import { showLocal } from "../cycle/zone.ts";
import type { Judged } from "./compare.ts";
import type { Reading, WindowProbe } from "./model.ts";

/** Open is passed; the last part of a window, in which nothing begins, and closed are inconclusive. */
export function judgeWindows({ windows }: WindowProbe, readings: readonly Reading[]): Judged {
  const reading = readings.find((one) => "at" in one);
  const now = new Date(reading === undefined || !("at" in reading) ? Number.NaN : reading.at);
  if (Number.isNaN(now.getTime()) || windows.length === 0)
    return { verdict: "inconclusive", detail: "there is no time, or no window", data: {} };
  const state = windowAt(windows, now);
  const zone = windows[0]?.opens.zone ?? "UTC";
  const isOpen = state.state === "open";
  const next = state.opensAt === undefined ? "it never opens again" : `it opens at ${showLocal(state.opensAt, zone)}`;
  return {
    verdict: isOpen ? "passed" : "inconclusive",
    detail: isOpen ? `the window is open until ${showLocal(state.endsAt, zone)}` : `the window is ${state.state}: ${next}`,
    data: {
      state: state.state,
      opensAt: state.opensAt?.toISOString() ?? null,
      endsAt: "endsAt" in state ? state.endsAt.toISOString() : null,
    },
  };
}

/** Why a rollout should not begin with these windows: they never open, or are never closed. */
export function windowsProblem({ windows }: WindowProbe, now: Date): string | undefined {
  const first = windowAt(windows, now);
  if (first.state === "open" || first.state === "closing") return isEndless(windows, first.endsAt) ? "the window never closes" : undefined;
  if (first.opensAt === undefined) return "the window never opens";
  return undefined;
}

/** Whether one window follows the other without a break, for as often as anybody would look. */
function isEndless(windows: WindowProbe["windows"], endsAt: Date): boolean {
  let end = endsAt;
  for (let looked = 0; looked < MOST_LOOKS; looked++) {
    const state = windowAt(windows, end);
    if (state.state !== "open" || state.endsAt.getTime() <= end.getTime()) return false;
    end = state.endsAt;
  }
  return true;
}

/** Two weeks of a window for each day (a guess). */
const MOST_LOOKS = 14;
