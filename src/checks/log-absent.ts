import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { failed, lastLines, noAnswer, passed, undecided } from "./lib/answers.ts";
import { lineFinder, linePattern, unitName } from "./lib/options.ts";
import { serviceFile, startAtBoot } from "./lib/self-test.ts";

const PRIORITIES = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"] as const;

const options = z.strictObject({
  priority: z.enum(PRIORITIES).default("err").describe("Lines of this priority and graver are looked at"),
  pattern: linePattern().optional().describe("Only lines that match; all when absent"),
  unit: unitName().optional().describe("Only lines of this unit"),
  except: z.array(linePattern()).default([]).describe("Lines that match one of these are meant"),
});

const LONGEST_SHOWN = 200;

/** Looks for lines that should not be in the journal. */
export const logAbsent = defineCheck({
  id: "log-absent",
  version: 2,
  summary: "The journal holds no lines of this kind",
  description: `Reads the journal of the start inside the booted machine when the other checks are done. Lines of priority \`err\` and graver,
unless the options say otherwise. A journal without any line at all is no good news: the verdict is inconclusive.`,
  examples: [
    `- log-absent:`,
    `- log-absent: { priority: warning, unit: nginx.service }`,
    `- log-absent: { priority: info, pattern: "Traceback|panic", except: ["panic=-1"] }`,
  ],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 20_000 },
  runsLast: true,
  async run({ options: wanted, cell, signal }) {
    const common = ["journalctl", "--boot", "--no-pager", "--quiet", "--output=short-precise"];
    const any = await cell.exec([...common, "--lines=1"], { timeoutMs: 5000, signal });
    if (any.code === 127) return noAnswer("the image has no journalctl", { remedy: "install systemd in the image" });
    if (any.stdout.trim() === "") return undecided("the journal is empty: nothing can be said", { excerpt: lastLines(any.stderr) });
    const asked = await cell.exec(
      [...common, `--priority=${wanted.priority}`, ...(wanted.unit === undefined ? [] : [`--unit=${wanted.unit}`])],
      { timeoutMs: 15_000, signal },
    );
    if (asked.code > 1 || asked.timedOut) throw new Error(`journalctl: ${asked.stderr.trim() || `ended with ${asked.code}`}`);
    const wants = wanted.pattern === undefined ? () => true : lineFinder(wanted.pattern);
    const meant = wanted.except.map(lineFinder);
    const found = asked.stdout
      .split("\n")
      .filter((line) => line !== "" && !meant.some((means) => means(line) === true))
      .map((line) => ({ line, isWanted: wants(line) }));
    const lines = found.flatMap(({ line, isWanted }) => (isWanted === true ? [line] : []));
    const unread = found.filter(({ isWanted }) => isWanted === undefined).map(({ line }) => line);
    const what = wanted.pattern === undefined ? `of priority ${wanted.priority}` : `that match ${wanted.pattern}`;
    if (lines.length === 0 && unread.length > 0)
      return undecided(
        `${unread.length === 1 ? "1 line is" : `${unread.length} lines are`} too long to be searched for ${wanted.pattern ?? ""}`,
        {
          excerpt: unread.map((line) => `${line.slice(0, LONGEST_SHOWN)}…`).slice(0, 20),
        },
      );
    if (lines.length === 0) return passed(`no lines ${what}`, { answered: { lines: 0 } });
    return failed(`${lines.length === 1 ? "1 line" : `${lines.length} lines`} ${what}`, {
      answered: { lines: lines.length },
      excerpt: lines.slice(0, 20),
      remedy: "mend what writes them, or say under `except:` that they are meant",
    });
  },
  selfTest: {
    sound: { options: { priority: "emerg", pattern: "bakehouse self-test" } },
    faulty: {
      options: { priority: "emerg", pattern: "bakehouse self-test" },
      files: [
        serviceFile("bh-self-log.service", `Type=oneshot\nExecStart=/bin/sh -c 'echo "<0>bakehouse self-test"'`),
        startAtBoot("bh-self-log.service"),
      ],
    },
  },
});
