import { BakehouseError } from "../../core/errors.ts";
import type { Terminal } from "../terminal.ts";

/** `just now`, `5 min ago`, `3 h ago`, `2 days ago`, then the date. */
export function formatAge(iso: string, nowMs: number = Date.now()): string {
  const minutes = Math.floor((nowMs - Date.parse(iso)) / 60_000);
  if (!(minutes >= -1) || Date.parse(iso) <= 0) return Date.parse(iso) > 0 ? iso.slice(0, 10) : "unknown";
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  if (minutes < 30 * 24 * 60) return `${Math.floor(minutes / (24 * 60))} days ago`;
  return iso.slice(0, 10);
}

/** `2026-11-22 11:04:38 UTC` */
export const formatTime = (iso: string): string => (Date.parse(iso) > 0 ? `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC` : "unknown");

export const hermeticWord = (hermetic: boolean, { colors }: Terminal): string =>
  hermetic ? "yes" : colors.red(colors.bold("NOT HERMETIC"));

const TYPE_LETTERS: Readonly<Record<string, string>> = {
  file: "-",
  hardlink: "-",
  directory: "d",
  symlink: "l",
  "character-device": "c",
  "block-device": "b",
  fifo: "p",
  removed: "W",
  emptied: "O",
};

/** `-rwxr-xr-x`, as `ls -l` has it; `W` for a file that a layer takes away, `O` for a directory that it empties. */
export function formatMode(kind: string, mode: number): string {
  const letters = (shift: number, special: number, letter: string): string => {
    const bits = mode >> shift;
    const isSpecial = (mode & special) !== 0;
    const execute = (bits & 1) === 0 ? (isSpecial ? letter.toUpperCase() : "-") : isSpecial ? letter : "x";
    return `${(bits & 4) === 0 ? "-" : "r"}${(bits & 2) === 0 ? "-" : "w"}${execute}`;
  };
  return `${TYPE_LETTERS[kind] ?? "?"}${letters(6, 0o4000, "s")}${letters(3, 0o2000, "s")}${letters(0, 0o1000, "t")}`;
}

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30d`, `24h`, `15m`, `0` in milliseconds. @throws USAGE */
export function parseAge(flag: string, text: string): number {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? (text === "0" ? ["", "0", "m"] : []);
  if (count === undefined || unit === undefined)
    throw new BakehouseError("USAGE", `${flag} needs an age such as 30d, 24h or 15m, not ${JSON.stringify(text)}`);
  return Number(count) * (UNITS_MS[unit] ?? 0);
}

/** Two columns, `name  value`, the values in line. Empty values are left out. */
export function facts(rows: readonly (readonly [string, string])[], { colors }: Terminal): string {
  const shown = rows.filter(([, value]) => value !== "");
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown
    .map(([name, value]) => `${colors.dim(name.padEnd(width))}  ${value.split("\n").join(`\n${" ".repeat(width + 2)}`)}\n`)
    .join("");
}
