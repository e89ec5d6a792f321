import type { Cake } from "../recipe/model.ts";

/** What machines fetch from at launch. `slow`: at a given rate. `broken`: every package breaks off in the middle. */
export type MirrorState = { readonly kind: "good" } | { readonly kind: "slow"; readonly kBPerSecond: number } | { readonly kind: "broken" };

/** What was launched: local instances, or virtual machines. */
export const LAUNCH_PLATFORMS = ["cell", "vm"] as const;
export type LaunchPlatformName = (typeof LAUNCH_PLATFORMS)[number];

/** One machine, from nothing on. */
export interface LaunchRun {
  /** From before the machine was started until it first answered well; undefined when it never did. */
  readonly readyMs?: number;
  /** That the machine fetched at launch. */
  readonly fetchedBytes: number;
  /** Why it was given up. */
  readonly failure?: string;
}

/** What was launched, and where. */
export interface LaunchedCake {
  readonly recipe: string;
  readonly cake: Cake;
  readonly platform: LaunchPlatformName;
  readonly mirror: MirrorState;
}

/** Several launches of one cake in one state of the mirror. */
export interface CakeFigures extends LaunchedCake {
  readonly runs: readonly LaunchRun[];
  /** Of those that became ready; undefined when none did. */
  readonly medianMs?: number;
  readonly p95Ms?: number;
  /** Median. */
  readonly fetchedBytes: number;
  readonly failures: number;
}

export interface CakeComparison {
  readonly figures: readonly CakeFigures[];
}

/** @param runs  at least one */
export function figuresOf(launched: LaunchedCake, runs: readonly LaunchRun[]): CakeFigures {
  const ready = runs.flatMap(({ readyMs }) => readyMs ?? []);
  return {
    ...launched,
    runs,
    ...(ready.length === 0 ? {} : { medianMs: quantile(ready, 0.5), p95Ms: quantile(ready, 0.95) }),
    fetchedBytes: quantile(
      runs.map(({ fetchedBytes }) => fetchedBytes),
      0.5,
    ),
    failures: runs.length - ready.length,
  };
}

/** Nearest rank: always a value that was measured. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

export const platformText = (platform: LaunchPlatformName): string => (platform === "vm" ? "virtual machine" : "cell");

export function mirrorText(mirror: MirrorState): string {
  if (mirror.kind === "slow") return `slow mirror (${mirror.kBPerSecond} kB/s)`;
  return mirror.kind === "broken" ? "broken mirror" : "good mirror";
}
