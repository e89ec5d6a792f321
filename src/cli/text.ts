/** Words and tables for people. Nothing here knows what a bake is. */
import { stripVTControlCharacters } from "node:util";

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** `0 B`, `12 kB`, `3.4 MB`: powers of 1000, two significant digits below ten. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${UNITS[unit] ?? "B"}`;
}

/** `8 ms`, `0.42 s`, `3.1 s`, `42 s`, `2 min 05 s`. */
export function formatDuration(ms: number): string {
  if (ms < 99.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 0.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}

/** Columns that a text takes: escape codes take none, wide (East Asian, emoji) characters take two. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length; // a thousand rows of a table are measured in 2 ms instead of 100
  const bare = stripVTControlCharacters(text);
  if (PLAIN.test(bare)) return bare.length;
  let width = 0;
  for (const { segment } of segmentsOf(bare)) width += WIDE.test(segment) ? 2 : 1;
  return width;
}

/** One column each: printable ASCII. */
const PLAIN = /^[\x20-\x7e]*$/;
let segmenter: Intl.Segmenter | undefined;
/** Made when a text is not plain: it loads tables of ICU, which takes 10 ms. */
const segmentsOf = (text: string): Intl.Segments => (segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" })).segment(text);
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|^\p{Emoji_Presentation}/u;

/** Cuts to `width` columns with `…` at the end; a text with escape codes loses them when it has to be cut. */
export function fit(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = "";
  let used = 0;
  for (const { segment } of segmentsOf(stripVTControlCharacters(text))) {
    const next = WIDE.test(segment) ? 2 : 1;
    if (used + next > width - 1) break;
    kept += segment;
    used += next;
  }
  return width < 1 ? "" : `${kept}…`;
}

const padTo = (text: string, width: number, align: "left" | "right"): string => {
  const space = " ".repeat(Math.max(0, width - widthOf(text)));
  return align === "right" ? space + text : text + space;
};

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
  /** Columns that it may be cut down to on a narrow terminal; without it, it is never cut. */
  readonly minimum?: number;
  /** On a terminal that is too narrow for all minima it is left out, the lowest number first. */
  readonly dispensable?: number;
}

export interface TableOptions {
  /** Terminal columns to fit into; `Infinity` never cuts. */
  readonly width: number;
  readonly styleTitle?: (title: string) => string;
}

/** Lines of a table, each ending in a newline, cells two blanks apart. `""` for no rows. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[], options: TableOptions): string {
  if (rows.length === 0) return "";
  const kept = columnsThatFit(columns, rows, options.width);
  if (kept.length === columns.length) return linesOf(columns, rows, options);
  const pick = <T>(cells: readonly T[]): readonly T[] => cells.filter((_, index) => kept.includes(index));
  return linesOf(pick(columns), rows.map(pick), options);
}

/** Indexes of the columns that are shown. */
function columnsThatFit(columns: readonly Column[], rows: readonly (readonly string[])[], available: number): readonly number[] {
  if (available === Infinity) return [...columns.keys()];
  const narrowest = columns.map(({ title, minimum }, index) =>
    Math.min(minimum ?? Infinity, Math.max(widthOf(title), ...rows.map((cells) => widthOf(cells[index] ?? "")))),
  );
  const kept = new Set(columns.keys());
  const takes = (): number => [...kept].reduce((sum, index) => sum + 2 + (narrowest[index] ?? 0), -2);
  const inOrder = [...kept]
    .filter((index) => columns[index]?.dispensable !== undefined)
    .sort((a, b) => (columns[a]?.dispensable ?? 0) - (columns[b]?.dispensable ?? 0));
  for (const index of inOrder) if (takes() > available) kept.delete(index);
  return [...kept];
}

function linesOf(columns: readonly Column[], rows: readonly (readonly string[])[], options: TableOptions): string {
  const widths = fitWidths(columns, rows, options.width);
  const line = (cells: readonly string[], style = (text: string) => text): string =>
    columns
      .map(({ align = "left" }, index) => style(padTo(fit(cells[index] ?? "", widths[index] ?? 0), widths[index] ?? 0, align)))
      .join("  ")
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      options.styleTitle,
    ),
    ...rows.map((cells) => line(cells)),
  ]
    .map((text) => `${text}\n`)
    .join("");
}

/** The widest cell of each column; on a narrow terminal the widest columns that may be cut give way first. */
function fitWidths(columns: readonly Column[], rows: readonly (readonly string[])[], available: number): readonly number[] {
  const widths = columns.map(({ title }, index) => Math.max(widthOf(title), ...rows.map((cells) => widthOf(cells[index] ?? ""))));
  let excess = widths.reduce((sum, width) => sum + width, 2 * (columns.length - 1)) - available;
  while (excess > 0) {
    let widest = -1;
    columns.forEach(({ minimum }, index) => {
      const width = widths[index] ?? 0;
      if (minimum !== undefined && width > minimum && width > (widths[widest] ?? 0)) widest = index;
    });
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess--;
  }
  return widths;
}

/** `1 step`, `2 steps`. */
export const count = (number: number, one: string, many = `${one}s`): string => `${number} ${number === 1 ? one : many}`;
