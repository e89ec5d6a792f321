import type { People } from "../rollout/policy.ts";

/** Of things that are named in a message; the rest is counted (a guess). */
const MOST_NAMED = 3;
/** Characters of what others wrote: a line of a journal, an error of a server. */
const MOST_QUOTED = 200;

/** `a, b, c and 4 more`; each cut. */
export function listed<T>(things: readonly T[], text: (thing: T) => string): string {
  const named = things.slice(0, MOST_NAMED).map((thing) => cut(text(thing)));
  return `${named.join(", ")}${things.length > MOST_NAMED ? ` and ${things.length - MOST_NAMED} more` : ""}`;
}

/** One line, cut after 200 characters. */
export function cut(text: string): string {
  const line = text.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  return line.length > MOST_QUOTED ? `${line.slice(0, MOST_QUOTED)}…` : line;
}

/** Four digits that count. */
export function shown(number: number): string {
  const text = number.toPrecision(4);
  return Number.isFinite(Number(text)) ? String(Number(text)) : text; // the largest of all are rounded beyond it
}

export const percentText = (share: number): string => `${shown(share * 100)} %`;

/** A p-value; the smallest are not told apart. */
export const pText = (p: number): string => (p < 1e-6 ? "p < 0.000001" : `p = ${String(Number(p.toPrecision(2)))}`);

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Of a gate that waits for people. */
export const approvalsText = ({ approvals, waves }: People): string =>
  `${plural(approvals, "approval")}${waves === undefined ? "" : ` after ${waves.length === 1 ? "wave" : "waves"} ${waves.join(", ")}`}`;
