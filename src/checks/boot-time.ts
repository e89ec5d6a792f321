import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { failed, passed, undecided } from "./lib/answers.ts";
import { duration, milliseconds } from "./lib/options.ts";
import { serviceFile, startAtBoot } from "./lib/self-test.ts";

const options = z.union([
  duration().describe("Longest time"),
  z.strictObject({ max: duration().describe("Longest time from the start until systemd has started everything") }),
]);

/** Compares the time that the start took with a limit. */
export const bootTime = defineCheck({
  id: "boot-time",
  version: 1,
  summary: "The machine starts within a time",
  description:
    "The time from the start of the cell until systemd has started everything. It is measured on a machine that may be busy with other work: leave room. A start that did not come to its end gave no figure, and the verdict is inconclusive.",
  examples: [`- boot-time: 5s`],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 120_000 },
  async run({ options: given, cell, timeoutMs, signal }) {
    const max = typeof given === "string" ? given : given.max;
    const state = await cell.booted(timeoutMs - 1000);
    const { bootMs } = cell;
    if (bootMs === undefined) return undecided(`the start did not come to its end: ${state}`, { answered: { state } });
    const answered = { bootMs, state };
    if (bootMs <= milliseconds(max)) return passed(`started in ${Math.round(bootMs)} ms`, { answered });
    const blame = await cell.exec(["systemd-analyze", "blame", "--no-pager"], { timeoutMs: 5000, signal });
    return failed(`the start took ${Math.round(bootMs)} ms, more than ${max}`, {
      answered,
      excerpt: blame.code === 0 ? blame.stdout.split("\n").slice(0, 10) : [],
      remedy: "the units above took longest",
    });
  },
  selfTest: {
    sound: { options: "10m" },
    faulty: {
      options: "1ms",
      files: [serviceFile("bh-self-slow.service", "Type=oneshot\nExecStart=/bin/sleep 1"), startAtBoot("bh-self-slow.service")],
    },
  },
});
