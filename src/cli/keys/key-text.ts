import type { KeyInfo } from "../../ports/keys.ts";
import type { Trust } from "../../ports/papers.ts";
import type { Terminal } from "../terminal.ts";

/** Enough of an id to tell keys apart. */
export const shortKey = (id: string): string => id.slice(0, 12);

/** One line: name, id, what it does. */
export function keyLine(key: KeyInfo, { colors }: Terminal): string {
  const does = key.retiredAt !== undefined ? "retired" : key.signs ? "signs from now on" : "verifies";
  return `${colors.bold(key.name)} ${shortKey(key.id)} ${colors.dim(does)}\n`;
}

const TRUST_WORDS: Readonly<Record<Trust, string>> = {
  signed: "signed",
  "unknown-key": "unknown key",
  "bad-signature": "bad signature",
  "wrong-subject": "about another image",
};

export const trustWord = (trust: Trust, { colors }: Terminal): string =>
  trust === "signed" ? colors.green(TRUST_WORDS[trust]) : colors.red(TRUST_WORDS[trust]);
