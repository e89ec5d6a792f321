import { stripVTControlCharacters } from "node:util";
import type { RolloutView } from "../../engine/show-rollout.ts";
import type { Terminal } from "../terminal.ts";
import { fit } from "../text.ts";
import { progressLine, rolloutLines } from "./words.ts";

/** Shows a rollout while it goes on: a block that is drawn anew on a terminal, else a line for each change. */
export function liveRollout(terminal: Terminal, options: { readonly quiet: boolean }): { show(view: RolloutView): void; end(): void } {
  let drawn = 0;
  let last = "";
  const startedMs = performance.now();
  const clear = (): void => {
    if (drawn > 0) terminal.err(`\x1b[${drawn}A\x1b[J`);
    drawn = 0;
  };
  return {
    show: (view) => {
      if (options.quiet) return;
      if (!terminal.isLive) {
        const line = progressLine(view);
        if (line !== last) terminal.err(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${view.id} ${line}\n`);
        last = line;
        return;
      }
      const text = rolloutLines(view, { colors: terminal.errorColors, columns: terminal.columns });
      if (text === last) return;
      last = text;
      clear();
      const width = Number.isFinite(terminal.columns) ? terminal.columns : (process.stderr.columns ?? 80);
      const lines = text.trimEnd().split("\n");
      terminal.err(lines.map((line) => `${stripVTControlCharacters(line).length > width ? fit(line, width) : line}\n`).join(""));
      drawn = lines.length;
    },
    end: clear,
  };
}
