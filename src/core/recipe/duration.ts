const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** `90s`, `10m`, `1h30m`: whole numbers with a unit each. */
export const DURATION = /^(?:\d+(?:ms|s|m|h))+$/;

/** `6h`, `14d`, `1w2d`: the same for what people count in days and weeks, which are 24 and 168 hours here. */
export const LONG_DURATION = /^(?:\d+[smhdw])+$/;

/** Milliseconds of a text that matches {@link DURATION} or {@link LONG_DURATION}. */
export function parseDuration(text: string): number {
  let milliseconds = 0;
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)) milliseconds += Number(count) * (UNITS_MS[unit ?? ""] ?? 0);
  return milliseconds;
}
