import type { Terminal } from "../terminal.ts";
import type { Reporter } from "./reporter.ts";

export interface ReporterOptions {
  readonly events: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** The live view is loaded on terminals only. */
export async function createReporter(options: ReporterOptions, terminal: Terminal): Promise<Reporter> {
  if (options.events) return { report: (event) => terminal.out(`${JSON.stringify(event)}\n`), end: () => undefined };
  if (terminal.isLive && !options.quiet && !options.verbose) return (await import("./live.ts")).createLiveReporter(terminal);
  return (await import("./plain.ts")).createPlainReporter(terminal, options);
}
