/**
 * Whole-text matching of a regular expression that never tries the same thing twice: JavaScript's own search tries every way to
 * divide `aaaa…` between the repetitions of `(a+)+`, which takes longer than the universe has and cannot be interrupted.
 *
 * A part is asked at one position for *all* positions where it may end, as bits of a number; the answer is kept. What one
 * character matches is left to the engine, so classes and `\p{…}` mean what they mean elsewhere.
 */
export interface Pattern {
  readonly source: string;
  readonly whole: Part;
}

/** Where a part may end that starts at `at`: bit n stands for position n. Only of the characters, never of what is around. */
type Ends = bigint;

export type Part =
  | { readonly kind: "one"; readonly fits: RegExp }
  | { readonly kind: "start" | "end" | "boundary" | "inside" }
  | { readonly kind: "sequence" | "choice"; readonly parts: readonly Part[] }
  | { readonly kind: "repeat"; readonly part: Part; readonly min: number; readonly max: number }
  | { readonly kind: "look"; readonly part: Part; readonly back: boolean; readonly wanted: boolean };

/** Characters of a text that is matched; a guess: the longest sensible value is a public key, and RSA with 4096 bits has 750. */
export const LONGEST_MATCHED = 1024;

/** Answers that one match may take. Less than a second; patterns in recipes take less than a hundredth of it. */
const MOST_STEPS = 1_000_000;

/** @returns what is wrong with it, in words, when it cannot be used */
export function readPattern(source: string): Pattern | string {
  try {
    new RegExp(source, "u");
  } catch {
    return "is no regular expression";
  }
  try {
    return { source, whole: new Reader(source).read() };
  } catch (error) {
    if (error instanceof Unsupported) return error.message;
    throw error;
  }
}

/** @returns "too long" and "too many steps" when it was not decided */
export function matchesWhole({ whole }: Pattern, text: string): boolean | "too long" | "too many steps" {
  const characters = [...text];
  if (characters.length > LONGEST_MATCHED) return "too long";
  try {
    return has(new Matching(characters).ends(whole, 0), characters.length);
  } catch (error) {
    if (error instanceof TooManySteps) return "too many steps";
    throw error;
  }
}

/** Characters of a text that is searched: a line of a journal, of which few are longer (a guess; 4096 take 20 ms with a bad pattern). */
const LONGEST_SEARCHED = 4096;

/** Whether the pattern matches any part of the text. @returns "too long" and "too many steps" when it was not decided */
export function findsIn({ whole }: Pattern, text: string): boolean | "too long" | "too many steps" {
  const characters = [...text];
  if (characters.length > LONGEST_SEARCHED) return "too long";
  try {
    return new Matching(characters).isAnywhere(whole);
  } catch (error) {
    if (error instanceof TooManySteps) return "too many steps";
    throw error;
  }
}

class Unsupported extends Error {}
class TooManySteps extends Error {}

const bit = (position: number): Ends => 1n << BigInt(position);
const has = (ends: Ends, position: number): boolean => (ends & bit(position)) !== 0n;

/** The last one first: what is asked there is known when a repetition that starts before it gets there. */
function* positionsIn(ends: Ends): Generator<number> {
  const bits = ends.toString(2);
  for (let index = bits.indexOf("1"); index >= 0; index = bits.indexOf("1", index + 1)) yield bits.length - 1 - index;
}

/** Reads what the engine has found to be right: with the flag `u` every character that means something is escaped or means it. */
class Reader {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  read(): Part {
    return this.#choice();
  }

  #choice(): Part {
    const parts = [this.#sequence()];
    while (this.#takes("|")) parts.push(this.#sequence());
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: "choice", parts };
  }

  #sequence(): Part {
    const parts: Part[] = [];
    while (this.#at < this.#source.length && !/[|)]/.test(this.#source.charAt(this.#at))) parts.push(this.#repeated(this.#single()));
    return { kind: "sequence", parts };
  }

  /** Greedy or not makes no difference to whether the whole text matches. */
  #repeated(part: Part): Part {
    const [, sign, min, comma, max] = this.#take(/(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/y) ?? [];
    if (sign !== undefined) return repeat(part, sign === "+" ? 1 : 0, sign === "?" ? 1 : Infinity);
    if (min === undefined) return part;
    return repeat(part, Number(min), comma === "" ? Number(min) : max === "" ? Infinity : Number(max));
  }

  #single(): Part {
    if (this.#takes("^")) return { kind: "start" };
    if (this.#takes("$")) return { kind: "end" };
    if (this.#takes("\\b")) return { kind: "boundary" };
    if (this.#takes("\\B")) return { kind: "inside" };
    const look = this.#take(/\(\?(<?)([=!])/y);
    if (look !== undefined) return { kind: "look", back: look[1] === "<", wanted: look[2] === "=", part: this.#closed() };
    if (this.#take(/\((?:\?:|\?<[^>]*>|(?!\?))/y) !== undefined) return this.#closed();
    const text = this.#take(CHARACTER)?.[0];
    if (text === undefined)
      throw new Unsupported(`has ${JSON.stringify(this.#source.slice(this.#at, this.#at + 3))}, which is not possible here`);
    return { kind: "one", fits: new RegExp(`^${text}$`, "u") };
  }

  #closed(): Part {
    const part = this.#choice();
    this.#takes(")");
    return part;
  }

  #takes(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#source);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found;
  }
}

/** An endless repetition is one of its own: where it may go on from a place is then the same for all that get there. */
function repeat(part: Part, min: number, max: number): Part {
  if (min === 0 || max !== Infinity) return { kind: "repeat", part, min, max };
  return { kind: "sequence", parts: [repeat(part, min, min), repeat(part, 0, Infinity)] };
}

/** What matches one character: a class, an escape that is no reference to a group, a character that stands for itself. */
const CHARACTER =
  /\[(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\u\{[^}]*\}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\c[a-zA-Z]|\\[^1-9k]|[^\\()[\]{}*+?|^$]/uy;

class Matching {
  readonly #text: readonly string[];
  readonly #known = new Map<Part, (Ends | undefined)[]>();
  #steps = 0;

  constructor(text: readonly string[]) {
    this.#text = text;
  }

  ends(part: Part, at: number): Ends {
    if (part.kind === "one") return part.fits.test(this.#text[at] ?? "") ? bit(at + 1) : 0n;
    const known = this.#known.get(part) ?? [];
    this.#known.set(part, known);
    return (known[at] ??= this.#endsOf(part, at));
  }

  /** The last start first, as in positionsIn. */
  isAnywhere(part: Part): boolean {
    for (let at = this.#text.length; at >= 0; at--) {
      if (++this.#steps > MOST_STEPS) throw new TooManySteps();
      if (this.ends(part, at) !== 0n) return true;
    }
    return false;
  }

  #endsOf(part: Exclude<Part, { kind: "one" }>, at: number): Ends {
    switch (part.kind) {
      case "start":
        return at === 0 ? bit(at) : 0n;
      case "end":
        return at === this.#text.length ? bit(at) : 0n;
      case "boundary":
        return this.#isBoundary(at) ? bit(at) : 0n;
      case "inside":
        return this.#isBoundary(at) ? 0n : bit(at);
      case "choice":
        return part.parts.reduce((ends, each) => ends | this.ends(each, at), 0n);
      case "sequence":
        return part.parts.reduce((ends, each) => this.#after(each, ends), bit(at));
      case "repeat":
        return this.#repeated(part, at);
      case "look":
        return this.#looks(part, at) === part.wanted ? bit(at) : 0n;
    }
  }

  /** Exactly `min` times, then on from what is new until nothing is. */
  #repeated(repeat: Extract<Part, { kind: "repeat" }>, at: number): Ends {
    const { part, min, max } = repeat;
    let ends = bit(at);
    for (let times = 0; times < min; times++) {
      const next = this.#after(part, ends);
      if (next === ends) break;
      ends = next;
    }
    const known = min === 0 && max === Infinity ? (this.#known.get(repeat) ?? []) : [];
    let fresh = ends;
    for (let times = min; times < max && fresh !== 0n; times++) {
      let found = 0n;
      for (const from of positionsIn(fresh)) found |= known[from] ?? this.#after(part, bit(from));
      fresh = found & ~ends;
      ends |= found;
    }
    return ends;
  }

  #after(part: Part, starts: Ends): Ends {
    let ends = 0n;
    for (const at of positionsIn(starts)) {
      if (++this.#steps > MOST_STEPS) throw new TooManySteps();
      ends |= this.ends(part, at);
    }
    return ends;
  }

  #looks({ part, back }: Extract<Part, { kind: "look" }>, at: number): boolean {
    if (!back) return this.ends(part, at) !== 0n;
    for (let from = 0; from <= at; from++) if (has(this.#after(part, bit(from)), at)) return true;
    return false;
  }

  #isBoundary(at: number): boolean {
    const isWord = (character = ""): boolean => /\w/.test(character);
    return isWord(this.#text[at - 1]) !== isWord(this.#text[at]);
  }
}
