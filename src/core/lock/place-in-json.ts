/**
 * The line (from 1) at which a member stands in JSON text; its nearest ancestor's if the member itself is not there.
 * Only for error messages: it reads the text again. The text must be valid JSON.
 */
export function lineInJson(text: string, path: readonly PropertyKey[]): number {
  let at = skipBlank(text, 0);
  for (const key of path) {
    const next = text[at] === "{" ? memberAt(text, at, String(key)) : text[at] === "[" ? itemAt(text, at, Number(key)) : undefined;
    if (next === undefined) break;
    at = next;
  }
  return lineAt(text, at);
}

/** The line (from 1) of a character. */
export const lineAt = (text: string, offset: number): number => text.slice(0, offset).split("\n").length;

function memberAt(text: string, open: number, key: string): number | undefined {
  let at = skipBlank(text, open + 1);
  while (text[at] === '"') {
    const end = skipValue(text, at);
    const name = JSON.parse(text.slice(at, end)) as string;
    const value = skipBlank(text, skipBlank(text, end) + 1);
    if (name === key) return value;
    at = afterComma(text, skipValue(text, value));
  }
  return undefined;
}

function itemAt(text: string, open: number, index: number): number | undefined {
  let at = skipBlank(text, open + 1);
  for (let count = 0; at < text.length && text[at] !== "]"; count++) {
    if (count === index) return at;
    at = afterComma(text, skipValue(text, at));
  }
  return undefined;
}

const skipBlank = (text: string, from: number): number => {
  let at = from;
  while (/\s/.test(text[at] ?? "")) at++;
  return at;
};

const afterComma = (text: string, from: number): number => {
  const at = skipBlank(text, from);
  return text[at] === "," ? skipBlank(text, at + 1) : at;
};

/** Past a string, number, word, object or array. */
function skipValue(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at] ?? "";
    if (char === '"') at = stringEnd(text, at);
    else if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") depth--;
    if (depth < 0) return at;
    if (depth === 0 && (char === '"' || char === "}" || char === "]" || /[,\s}\]]/.test(text[at + 1] ?? " "))) return at + 1;
  }
  return text.length;
}

/** Index of the closing quote. */
function stringEnd(text: string, open: number): number {
  let at = open + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
