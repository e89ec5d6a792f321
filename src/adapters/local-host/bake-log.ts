import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { BakeLog } from "../../ports/host.ts";

/** A step whose commands print more together is cut off in the log; nobody reads further, and a disk is finite. A guess. */
const STEP_LIMIT_BYTES = 64 * 1024 * 1024;

/** `<folder>/<bake>/log.txt`: what steps printed; `events.jsonl`: one event a line. Written as it comes, so that a crash loses nothing. */
export function openBakeLog(folder: string, bake: string): BakeLog {
  let files: { readonly text: number; readonly events: number } | undefined;
  const written = new Map<string, number>();
  const open = (): { readonly text: number; readonly events: number } => {
    if (files !== undefined) return files;
    mkdirSync(join(folder, bake), { recursive: true });
    files = { text: openSync(join(folder, bake, "log.txt"), "a"), events: openSync(join(folder, bake, "events.jsonl"), "a") };
    return files;
  };
  return {
    write: (step, line) => {
      const before = written.get(step) ?? 0;
      if (before > STEP_LIMIT_BYTES) return;
      const text = `${step}: ${line}\n`;
      written.set(step, before + text.length);
      writeSync(open().text, before + text.length > STEP_LIMIT_BYTES ? `${text}${step}: (cut off here: more than ${STEP_LIMIT_BYTES / 1024 / 1024} MiB)\n` : text);
    },
    event: (event) => void writeSync(open().events, `${JSON.stringify(event)}\n`),
    close: () => {
      if (files === undefined) return;
      closeSync(files.text);
      closeSync(files.events);
      files = undefined;
    },
  };
}
