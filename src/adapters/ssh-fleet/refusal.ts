import type { Ran } from "./connection.ts";

/** A machine answered, and does not do it; `message` says why. */
export class MachineRefused extends Error {}

/** What a script said before it ended with something else than 0. */
export function refusal({ code, stdout, stderr }: Ran): MachineRefused {
  const said = /^bakehouse: ([\s\S]*)/m.exec(stderr)?.[1] ?? (stderr.trim() === "" ? stdout : stderr);
  return new MachineRefused(said.trim() === "" ? `it ended with ${code}` : said.trim());
}
