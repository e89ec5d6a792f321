import type { GlobalOptions } from "../command.ts";
import type { Terminal } from "../terminal.ts";
import { fit } from "../text.ts";

export interface ProgressLine {
  show(text: string): void;
  /** Takes the line away. */
  end(): void;
}

/** Often enough to be seen to move, seldom enough to cost nothing. */
const EVERY_MS = 100;

/** One line on stderr that is written over and over, on terminals only. */
export function progressLine({ global, terminal }: { readonly global: GlobalOptions; readonly terminal: Terminal }): ProgressLine {
  if (!terminal.isLive || global.quiet) return { show: () => undefined, end: () => undefined };
  let shownAt = -Infinity;
  let shown = false;
  return {
    show: (text) => {
      if (performance.now() - shownAt < EVERY_MS) return;
      shownAt = performance.now();
      shown = true;
      terminal.err(`\r\u001b[K${fit(text, Math.min(terminal.columns, 200) - 1)}`);
    },
    end: () => {
      if (shown) terminal.err("\r\u001b[K");
      shown = false;
    },
  };
}

export const percent = (done: number, total: number): string => (total <= 0 ? "" : `${Math.min(100, Math.floor((100 * done) / total))} %`);
