import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { failed, passed } from "./lib/answers.ts";
import { unitName } from "./lib/options.ts";
import { serviceFile, startAtBoot } from "./lib/self-test.ts";

const options = z.strictObject({
  except: z.array(unitName()).default([]).describe("Units that may fail"),
});

/** Asks systemd which units failed. */
export const noFailedUnits = defineCheck({
  id: "no-failed-units",
  version: 1,
  summary: "No systemd unit has failed",
  description:
    "Asks systemd inside the booted machine, when the other checks are done, and shows the journal of the first unit that failed.",
  examples: [`- no-failed-units:`, `- no-failed-units: { except: [systemd-networkd-wait-online.service] }`],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 15_000 },
  runsLast: true,
  async run({ options: { except }, cell, signal }) {
    const asked = await cell.exec(["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager", "--all"], {
      timeoutMs: 10_000,
      signal,
    });
    if (asked.code !== 0) throw new Error(`systemctl list-units: ${asked.stderr.trim() || `ended with ${asked.code}`}`);
    const units = asked.stdout
      .split("\n")
      .map((line) => line.trim().split(/\s+/)[0] ?? "")
      .filter((unit) => unit !== "" && !except.includes(unit));
    const [first] = units;
    if (first === undefined) return passed("no unit has failed", { answered: [] });
    return failed(
      `${units.length === 1 ? "" : `${units.length} units failed: `}${units.join(", ")}${units.length === 1 ? " failed" : ""}`,
      {
        answered: units,
        excerpt: await cell.journal({ unit: first, lines: 20 }),
        remedy: `mend ${first}, mask it in the image, or name it under \`except:\``,
      },
    );
  },
  selfTest: {
    sound: { options: {} },
    faulty: {
      options: {},
      files: [serviceFile("bh-self-failing.service", "Type=oneshot\nExecStart=/bin/false"), startAtBoot("bh-self-failing.service")],
    },
  },
});
