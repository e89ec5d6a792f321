import type { ValuePath } from "../expression/substitute.ts";

/** A value as people call it in a message, short: `the number 12`, `"text"`, `a list`. */
export function describeValue(value: unknown): string {
  if (value === undefined || value === null) return "nothing";
  if (typeof value === "string") return quote(value);
  if (typeof value === "number") return `the number ${value}`;
  if (typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  return "a mapping";
}

/** The text in quotes, cut after 60 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}…`);
}

const MAX_SHOWN = 60;

/** `layers.base.steps[1].copy`; keys that are no plain words are quoted. */
export function showPath(path: ValuePath): string {
  return path
    .map((part, index) => {
      if (typeof part === "number") return `[${part}]`;
      const shown = /^[\w-]+$/.test(part) ? part : quote(part);
      return index === 0 ? shown : `.${shown}`;
    })
    .join("");
}

/** `"a", "b" or "c"` */
export function oneOf(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
