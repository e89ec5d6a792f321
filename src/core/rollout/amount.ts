/** So many instances: a number, or a share in percent of those that a rollout is for. */
export type Amount = { readonly count: number } | { readonly percent: number };

/**
 * Which way a share that is no whole number goes. Always towards what puts fewer machines at risk:
 *
 *     down   how many may be unavailable, fail, or be unreachable         25 % of 7 is 1
 *     up     how many must be healthy, and how many are in a batch        25 % of 7 is 2
 *
 * A batch rounds up so that a share of a small fleet is never nothing; an extra machine (surge) is no risk and rounds up, too.
 */
export type Rounding = "up" | "down";

/** @returns a whole number from 0 to `total`, or beyond it when a count says so */
export function numberOf(amount: Amount, total: number, rounding: Rounding): number {
  if ("count" in amount) return amount.count;
  // Shares are decimals: 0.1 % of 3000 is 3, although 0.1 / 100 * 3000 is a little more
  const exact = Math.round((amount.percent * total * 1e6) / 100) / 1e6;
  return rounding === "up" ? Math.ceil(exact) : Math.floor(exact);
}

export const amountText = (amount: Amount): string => ("count" in amount ? String(amount.count) : `${amount.percent} %`);

const PERCENT = /^(\d+(?:\.\d+)?)\s*%$/;

/** `3`, `"3"` or `"10%"`; nothing for what is neither. */
export function parseAmount(value: string | number): Amount | undefined {
  if (typeof value === "number" || /^\d+$/.test(value)) {
    const count = Number(value);
    return Number.isSafeInteger(count) && count >= 0 ? { count } : undefined;
  }
  const percent = Number(PERCENT.exec(value)?.[1] ?? Number.NaN);
  return percent >= 0 && percent <= 100 ? { percent } : undefined;
}
