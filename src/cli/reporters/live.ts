import { shortDigest } from "../../core/digest.ts";
import type { BakehouseEvent } from "../../core/events.ts";
import type { Terminal } from "../terminal.ts";
import { fit, formatBytes, formatDuration } from "../text.ts";
import type { Reporter } from "./reporter.ts";
import { eventText, reasonText, VERDICT_SIGNS } from "./words.ts";

const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/** Redraws a second cost about 1 % of a core at ten; a guess that reads as smooth. */
const REDRAW_MS = 100;
const MOST_LINES = 8;

interface Running {
  readonly step: string;
  readonly startedMs: number;
  message: string;
  fraction?: number | undefined;
}

/** The stream that is drawn on, and the time; both given so that tests can read and move them. */
export interface LiveOptions {
  readonly columns?: () => number;
  readonly nowMs?: () => number;
}

/**
 * Finished steps scroll by as lines; below them one line for each step that runs, with a spinner, what it does now and
 * its seconds. Only relative cursor movements of the few lines that are redrawn, so that scrolling back stays intact.
 */
export function createLiveReporter(terminal: Terminal, options: LiveOptions = {}): Reporter {
  const columns = options.columns ?? (() => process.stderr.columns || 80);
  const nowMs = options.nowMs ?? (() => performance.now());
  const { green, red, yellow, dim, cyan } = terminal.errorColors;
  const running = new Map<string, Running>();
  let packages = "";
  let drawn = 0;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;

  const runningLine = ({ step, startedMs, message, fraction }: Running): string => {
    const share = fraction === undefined ? "" : ` ${Math.floor(fraction * 100)} %`;
    const seconds = formatDuration(Math.round((nowMs() - startedMs) / 100) * 100);
    return `${cyan(FRAMES[frame % FRAMES.length] ?? "")} ${step} ${dim(`${message}${share} · ${seconds}`)}`;
  };
  const liveLines = (): readonly string[] => {
    const lines = [...running.values()].map(runningLine);
    if (packages !== "") lines.push(`${cyan(FRAMES[frame % FRAMES.length] ?? "")} ${packages}`);
    const hidden = lines.length - MOST_LINES;
    return hidden > 0 ? [...lines.slice(0, MOST_LINES), dim(`  and ${hidden} more`)] : lines;
  };
  const draw = (finished = ""): void => {
    const lines = liveLines().map((line) => `${fit(line, columns() - 1)}\n`);
    const up = drawn === 0 ? "" : `\u001b[${drawn}A\r\u001b[J`;
    drawn = lines.length;
    if (up !== "" || finished !== "" || lines.length > 0) terminal.err(up + finished + lines.join(""));
  };
  const tick = (): void => {
    frame++;
    draw();
  };
  const keepTicking = (): void => {
    if (timer === undefined && (running.size > 0 || packages !== "")) timer = setInterval(tick, REDRAW_MS).unref();
  };

  const finishedLine = (event: BakehouseEvent): string | undefined => {
    switch (event.type) {
      case "step-cached":
        return `${green("✔")} ${event.step} ${dim(`from the cache · ${formatBytes(event.sizeBytes)} · ${shortDigest(event.diffId)}`)}`;
      case "step-baked":
        return `${green("✔")} ${event.step} ${dim(`${formatDuration(event.durationMs)} · ${formatBytes(event.sizeBytes)} · ${shortDigest(event.diffId)}`)}`;
      case "step-failed":
        return `${red("✖")} ${event.step} ${dim(`${event.code} after ${formatDuration(event.durationMs)}`)}`;
      case "check-answered":
        return `${VERDICT_SIGNS[event.verdict](terminal.errorColors)} ${event.check} ${event.summary} ${dim(`· ${formatDuration(event.durationMs)}${event.attempts > 1 ? `, attempt ${event.attempts}` : ""}`)}`;
      case "warning":
        return yellow(`! ${event.message}`);
      case "step-started":
      case "step-waiting":
      case "cell-starting":
      case "cell-started":
      case "packages-fetching":
        return undefined;
      default:
        return eventText(event);
    }
  };
  const follow = (event: BakehouseEvent): void => {
    if (event.type === "step-started") running.set(event.step, { step: event.step, startedMs: nowMs(), message: reasonText(event.reason) });
    else if (event.type === "step-waiting")
      running.set(event.step, { step: event.step, startedMs: nowMs(), message: `waiting for ${event.owner}` });
    else if (event.type === "step-progress") {
      const step = running.get(event.step);
      if (step !== undefined) Object.assign(step, { message: event.message, fraction: event.fraction });
    } else if (event.type === "step-baked" || event.type === "step-cached" || event.type === "step-failed") running.delete(event.step);
    else if (event.type === "packages-progress")
      packages =
        event.doneBytes >= event.totalBytes
          ? ""
          : `fetching packages ${dim(`${formatBytes(event.doneBytes)} of ${formatBytes(event.totalBytes)}`)}`;
    else if (event.type === "bake-ended") {
      running.clear();
      packages = "";
    }
  };
  return {
    report: (event) => {
      follow(event);
      const finished = finishedLine(event);
      if (finished !== undefined) draw(`${finished}\n`);
      else if (event.type === "step-started" || event.type === "check-started" || event.type === "cell-starting") draw();
      keepTicking();
    },
    end: () => {
      clearInterval(timer);
      running.clear();
      packages = "";
      draw();
    },
  };
}
