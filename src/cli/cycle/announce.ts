import type { Happening } from "../../core/notices/notice.ts";
import type { GlobalOptions } from "../command.ts";
import type { Terminal } from "../terminal.ts";
import { tellGivenUp } from "./words.ts";

export interface AnnounceContext {
  readonly global: GlobalOptions;
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Tells those whom a recipe's `notify:` names what a command did, and what the audit log has that nobody was told of. */
export async function announce(
  { global, terminal, env, signal }: AnnounceContext,
  news: readonly { readonly recipe: string; readonly happening: Happening }[] = [],
): Promise<void> {
  const { openCycles } = await import("../../presets/cycles.ts");
  const cycles = openCycles({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`) });
  try {
    for (const { recipe, happening } of news) await cycles.announce(recipe, happening);
    tellGivenUp(await cycles.deliver(signal), terminal);
  } finally {
    await cycles.close();
  }
}
