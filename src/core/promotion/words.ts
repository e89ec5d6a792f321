/** `3 days`, `2 h`, `5 min`, `8 s`: rounded down, for gates. */
export function shownTime(ms: number): string {
  const [unit, divisor] =
    ms >= 2 * 86_400_000
      ? (["days", 86_400_000] as const)
      : ms >= 2 * 3_600_000
        ? (["h", 3_600_000] as const)
        : ms >= 2 * 60_000
          ? (["min", 60_000] as const)
          : (["s", 1000] as const);
  return `${Math.floor(ms / divisor)} ${unit}`;
}

/** `2026-11-25 19:20 UTC` */
export const shownMoment = (iso: string): string => `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;

/** `a, b and 3 more` */
export function fewOf(items: readonly string[], limit = 5): string {
  const rest = items.length - limit;
  return rest > 1 ? `${items.slice(0, limit).join(", ")} and ${rest} more` : items.join(", ");
}
