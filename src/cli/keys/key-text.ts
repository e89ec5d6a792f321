import type { KeyInfo } from "../../ports/keys.ts";
import type { Terminal } from "../terminal.ts";

/** Enough of an id to tell keys apart. */
export const shortKey = (id: string): string => id.slice(0, 12);

/** One line: name, id, what it does. */
export function keyLine(key: KeyInfo, { colors }: Terminal): string {
  const does = key.retiredAt !== undefined ? "retired" : key.signs ? "signs from now on" : "verifies";
  return `${colors.bold(key.name)} ${shortKey(key.id)} ${colors.dim(does)}\n`;
}
