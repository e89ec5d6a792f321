import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { BakeLog } from "../../ports/host.ts";

/** A step whose commands print more together is cut off in the log; nobody reads further, and a disk is finite. A guess. */
const STEP_LIMIT_BYTES = 64 * 1024 * 1024;

interface LogFiles {
  readonly text: number;
  readonly events: number;
}

/**
 * `<folder>/<bake>/log.txt`: what steps printed; `events.jsonl`: one event a line. Written as it comes, so that a crash
 * loses nothing. A disk that is full ends the log and not the bake, which comes to its own end of it.
 */
export function openBakeLog(folder: string, bake: string): BakeLog {
  let files: LogFiles | undefined;
  let broken = false;
  const written = new Map<string, number>();
  const put = (kind: keyof LogFiles, text: string): void => {
    if (broken) return;
    try {
      files ??= openFiles(join(folder, bake));
      writeSync(files[kind], text);
    } catch (error) {
      if (!DISK_ERRORS.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
      broken = true;
    }
  };
  return {
    write: (step, line) => {
      const before = written.get(step) ?? 0;
      if (before > STEP_LIMIT_BYTES) return;
      const text = `${step}: ${line}\n`;
      written.set(step, before + text.length);
      put(
        "text",
        before + text.length > STEP_LIMIT_BYTES
          ? `${text}${step}: (cut off here: more than ${STEP_LIMIT_BYTES / 1024 / 1024} MiB)\n`
          : text,
      );
    },
    event: (event) => put("events", `${JSON.stringify(event)}\n`),
    close: () => {
      if (files === undefined) return;
      closeSync(files.text);
      closeSync(files.events);
      files = undefined;
      broken = true;
    },
  };
}

const DISK_ERRORS: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EIO", "EROFS"]);

function openFiles(folder: string): LogFiles {
  mkdirSync(folder, { recursive: true });
  return { text: openSync(join(folder, "log.txt"), "a"), events: openSync(join(folder, "events.jsonl"), "a") };
}
