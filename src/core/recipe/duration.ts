const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `90s`, `10m`, `1h30m`: whole numbers with a unit each. */
export const DURATION = /^(?:\d+(?:ms|s|m|h))+$/;

/** Milliseconds of a text that matches {@link DURATION}. */
export function parseDuration(text: string): number {
  let milliseconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g)) milliseconds += Number(count) * (UNITS_MS[unit ?? ""] ?? 0);
  return milliseconds;
}
