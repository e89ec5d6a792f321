import type { Needle } from "./needles.ts";

export interface Match {
  readonly needle: Needle;
  /** Where it starts. */
  readonly index: number;
}

/** Finds many byte strings at once. */
export interface Matcher {
  /** Length of the longest needle: so much less one byte must be carried from one chunk to the next. */
  readonly longest: number;
  /** Calls back for each match in `buffer[0, length)`, in order of where they end; returns early when it answers false. */
  scan(buffer: Uint8Array, length: number, onMatch: (match: Match) => boolean): void;
}

/**
 * The shift table of Wu and Manber ("A fast algorithm for multi-pattern searching", 1994) over pairs of bytes: most
 * positions are never looked at, and more needles cost next to nothing.
 */
export function createMatcher(needles: readonly Needle[]): Matcher {
  if (needles.some((needle) => needle.bytes.length < 2)) throw new Error("a needle has at least two bytes");
  const shortest = Math.min(...needles.map((needle) => needle.bytes.length), 255);
  const longest = Math.max(...needles.map((needle) => needle.bytes.length), 0);
  if (needles.length === 0) return { longest, scan: () => undefined };
  const shifts = new Uint8Array(65_536).fill(shortest - 1);
  const ending = new Map<number, Needle[]>();
  for (const needle of needles) {
    for (let end = 1; end < shortest; end++) {
      const pair = pairAt(needle.bytes, end);
      shifts[pair] = Math.min(shifts[pair] ?? 0, shortest - 1 - end);
    }
    const last = pairAt(needle.bytes, shortest - 1);
    ending.set(last, [...(ending.get(last) ?? []), needle]);
  }
  return { longest, scan: (buffer, length, onMatch) => scan(buffer, length, shortest, shifts, ending, onMatch) };
}

const pairAt = (bytes: Uint8Array, end: number): number => ((bytes[end - 1] ?? 0) << 8) | (bytes[end] ?? 0);

function scan(
  buffer: Uint8Array,
  length: number,
  shortest: number,
  shifts: Uint8Array,
  ending: ReadonlyMap<number, readonly Needle[]>,
  onMatch: (match: Match) => boolean,
): void {
  for (let end = shortest - 1; end < length;) {
    const pair = ((buffer[end - 1] as number) << 8) | (buffer[end] as number);
    const shift = shifts[pair] as number;
    if (shift !== 0) {
      end += shift;
      continue;
    }
    for (const needle of ending.get(pair) ?? []) {
      const index = end - shortest + 1;
      if (index + needle.bytes.length <= length && startsWithAt(buffer, needle.bytes, index) && !onMatch({ needle, index })) return;
    }
    end += 1;
  }
}

function startsWithAt(buffer: Uint8Array, needle: Uint8Array, index: number): boolean {
  for (let position = 0; position < needle.length; position++) if (buffer[index + position] !== needle[position]) return false;
  return true;
}
