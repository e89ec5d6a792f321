import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import type { EgressAttempt } from "../ports/cells.ts";
import { failed, passed } from "./lib/answers.ts";
import { duration, milliseconds } from "./lib/options.ts";
import { serviceFile, startAtBoot } from "./lib/self-test.ts";

const options = z.strictObject({
  settle: duration().default("0s").describe("Time that it is watched for longer, after the other checks are done"),
  allow: z
    .array(z.string().min(1))
    .default([])
    .describe("What may be tried: a name or address, with * for any part (*.pool.ntp.org), or a unit (chrony.service)"),
});

/** Reads what the machine tried to reach. */
export const noEgress = defineCheck({
  id: "no-egress",
  version: 1,
  summary: "The machine tries to reach nothing outside",
  description: `The machine's only route leads into a trap that answers nothing and writes down who tried what: address, port, DNS name, and the
systemd unit where it can be told. An image that depends on a package repository or a configuration service at boot is found here, not during
a rollout. Read when the other checks are done, so what they made the machine do counts, too.`,
  examples: [`- no-egress:`, `- no-egress: { settle: 2s, allow: ["*.pool.ntp.org", chrony.service] }`],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 60_000 },
  runsLast: true,
  async run({ options: { settle, allow }, cell, sleep }) {
    await sleep(milliseconds(settle));
    const isAllowed = allow.map(wildcard);
    const all = await cell.egress();
    const tried = all.filter(
      ({ target, unit }) => !isAllowed.some((pattern) => pattern.test(target) || (unit !== undefined && pattern.test(unit))),
    );
    const answered = { tried: all.map((attempt) => ({ ...attempt })), allowed: all.length - tried.length };
    const [first] = tried;
    if (first === undefined)
      return passed(all.length === 0 ? "nothing was tried" : `only what is allowed was tried (${all.length})`, { answered });
    return failed(`${describe(first)}${tried.length === 1 ? "" : ` (and ${tried.length - 1} more)`}`, {
      answered,
      excerpt: tried.map((attempt) => `${attempt.at} ${describe(attempt)}`),
      remedy: "bake what it asks for into the image, or name it under `allow:`",
    });
  },
  selfTest: {
    sound: { options: {} },
    faulty: {
      options: {},
      files: [
        serviceFile(
          "bh-self-egress.service",
          // 192.0.2.0/24 is nobody's (RFC 5737); bash or perl, as Debian's sh has no sockets
          `Type=oneshot\nExecStart=-/bin/bash -c 'exec 3<>/dev/tcp/192.0.2.1/9'`,
        ),
        startAtBoot("bh-self-egress.service"),
      ],
    },
  },
});

const wildcard = (text: string): RegExp =>
  new RegExp(
    `^${text
      .split("*")
      .map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*")}$`,
    "i",
  );

function describe({ unit, protocol, target, port, count }: EgressAttempt): string {
  const who = unit ?? "a process";
  const what = protocol === "dns" ? `asked for ${target}` : `tried ${protocol} ${target}${port === undefined ? "" : `:${port}`}`;
  return `${who} ${what}${count > 1 ? `, ${count} times` : ""}`;
}
