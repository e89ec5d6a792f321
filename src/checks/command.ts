import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { failed, lastLines, noAnswer, passed } from "./lib/answers.ts";
import { matcher, pattern } from "./lib/options.ts";

const words = () => z.array(z.string()).min(1);
const full = z.strictObject({
  run: z.union([z.string().min(1), words()]).describe("A line for sh, or a program with its arguments"),
  exit: z.int().min(0).max(255).default(0).describe("Exit code of a right answer"),
  contains: z.string().optional().describe("Text that must be in what it prints to stdout"),
  matches: pattern().optional().describe("Regular expression that stdout must match"),
});
const options = z.union([z.string().min(1).describe("A line for sh that must end with 0"), full]);

/** sh's own (POSIX 2.8.2): found but cannot be run; not found. */
const CANNOT_RUN = [126, 127];

/** Runs a command inside the machine. */
export const command = defineCheck({
  id: "command",
  version: 1,
  summary: "A command inside the machine ends with the right exit code and output",
  description: `Runs as root inside the booted machine. A command that cannot be found or started (exit codes 127 and 126) gave no answer: the
verdict is **error**, as for one that takes too long, never passed or failed. Unless such a code is what \`exit\` asks for.`,
  examples: [
    `- command: test -d /srv/shop/content`,
    `- command: { run: [nginx, -t] }
  name: nginx-config`,
    `- command: { run: "sshd -T", contains: permitrootlogin no }`,
  ],
  options,
  platform: "cell",
  needs: ["cell"],
  defaults: { retries: 0, intervalMs: 500, timeoutMs: 30_000 },
  async run({ options: given, cell, timeoutMs, signal }) {
    const wanted = typeof given === "string" ? full.parse({ run: given }) : given;
    const argv = typeof wanted.run === "string" ? ["/bin/sh", "-c", wanted.run] : wanted.run;
    const { code, stdout, stderr, timedOut } = await cell.exec(argv, { timeoutMs, signal });
    const answered = { exit: code, stdout: stdout.slice(0, 4000), stderr: stderr.slice(0, 4000) };
    const excerpt = lastLines(`${stdout}\n${stderr}`);
    if (timedOut) return noAnswer(`it took longer than ${timeoutMs} ms and was ended`, { answered, excerpt });
    if (CANNOT_RUN.includes(code) && code !== wanted.exit)
      return noAnswer(code === 127 ? "the command was not found in the image" : "the command cannot be run", {
        answered,
        excerpt,
        remedy: "install what it needs in the image, or ask in another way",
      });
    if (code !== wanted.exit) return failed(`it ended with ${code}, not ${wanted.exit}`, { answered, excerpt });
    if (wanted.contains !== undefined && !stdout.includes(wanted.contains))
      return failed(`it does not print ${JSON.stringify(wanted.contains)}`, { answered, excerpt });
    if (wanted.matches !== undefined && !matcher(wanted.matches).test(stdout))
      return failed(`what it prints does not match ${wanted.matches}`, { answered, excerpt });
    return passed(`it ended with ${code}`, { answered });
  },
  selfTest: {
    sound: { options: { run: "test -e /etc/passwd" } },
    faulty: { options: { run: "test -e /etc/bakehouse-self-test" } },
  },
});
