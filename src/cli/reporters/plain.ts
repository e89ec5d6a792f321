import type { BakehouseEvent } from "../../core/events.ts";
import type { Terminal } from "../terminal.ts";
import type { Reporter } from "./reporter.ts";
import { eventText } from "./words.ts";

/** One line an event on stderr, for logs and pipes. `quiet` leaves warnings only; `verbose` adds progress and output of steps. */
export function createPlainReporter(terminal: Terminal, options: { readonly quiet: boolean; readonly verbose: boolean }): Reporter {
  const { dim, yellow } = terminal.errorColors;
  let progress = "";
  const line = (event: BakehouseEvent): string | undefined => {
    if (options.quiet) return event.type === "warning" ? yellow(eventText(event) ?? "") : undefined;
    if (event.type === "step-output") return options.verbose ? dim(`  ${event.line}`) : undefined;
    if (event.type === "step-progress") return progressLine(event);
    return event.type === "warning" ? yellow(eventText(event) ?? "") : eventText(event);
  };
  const progressLine = (event: Extract<BakehouseEvent, { type: "step-progress" }>): string | undefined => {
    const text = `${event.step}: ${event.message}`;
    if (!options.verbose || text === progress) return undefined;
    progress = text;
    return dim(`  ${text}`);
  };
  return {
    report: (event) => {
      const text = line(event);
      if (text !== undefined) terminal.err(`${text}\n`);
    },
    end: () => undefined,
  };
}
