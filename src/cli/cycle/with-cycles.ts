import type { BakehouseEvent } from "../../core/events.ts";
import type { Cycles } from "../../presets/cycles.ts";
import type { GlobalOptions } from "../command.ts";
import type { Terminal } from "../terminal.ts";

export interface CyclesContext {
  readonly global: GlobalOptions;
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  report(event: BakehouseEvent): void;
}

/** Opens store and catalog for one command about cycles, and closes them again. */
export async function withCycles<T>({ global, terminal, env, report }: CyclesContext, work: (cycles: Cycles) => Promise<T>): Promise<T> {
  const { openCycles } = await import("../../presets/cycles.ts");
  const cycles = openCycles({ store: global.store, env, warn: (message) => terminal.err(`${message}\n`), onEvent: report });
  try {
    return await work(cycles);
  } finally {
    await cycles.close();
  }
}
