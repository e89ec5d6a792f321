import { z } from "zod";
import { defineCheck, type CheckAnswer } from "../core/checks/check.ts";
import type { ExecResult } from "../ports/cells.ts";
import { failed, lastLines, noAnswer, passed, undecided } from "./lib/answers.ts";
import { recipePath } from "./lib/options.ts";

const full = z.strictObject({
  file: recipePath().describe("The script, in the recipe's folder; its first line says what runs it"),
  arguments: z.array(z.string()).default([]).describe("Arguments that it is given"),
  on: z
    .enum(["cell", "tree"])
    .default("cell")
    .describe("cell: inside the booted machine. tree: on the machine that checks, with the image's files, read-only, at $BAKEHOUSE_TREE"),
});
const options = z.union([recipePath().describe("The script, in the recipe's folder"), full]);
type Options = z.output<typeof options>;

/** EX_TEMPFAIL of sysexits.h: what a script says that cannot decide. */
const UNDECIDED = 75;
const CANNOT_RUN = [126, 127];

const SELF_TEST = { "self-test.sh": '#!/bin/sh\ntest -e "$1"\n' };

/** Runs a script of the recipe's folder. */
export const script = defineCheck({
  id: "script",
  version: 1,
  summary: "A script of the recipe's folder says yes",
  description: `The script travels with the image's declaration, so that the check can be run without the recipe. What it ends with is the verdict:

| Exit code | Verdict |
|---|---|
| 0 | passed |
| 75 | inconclusive: it cannot decide |
| 126, 127, or ended by its timeout | error: there was no answer |
| anything else | failed |

Its last line of output is the summary. Scripts up to 64 KiB.`,
  examples: [`- script: checks/smoke.sh`, `- script: { file: checks/licences.py, on: tree }\n  timeout: 2m`],
  options,
  platform: (given: Options) => wantedOf(given).on,
  needs: ["cell", "tree", "host"],
  defaults: { retries: 0, intervalMs: 1000, timeoutMs: 60_000 },
  files: (given) => [wantedOf(given).file],
  async run(context) {
    const { options: given, files, timeoutMs, signal } = context;
    const wanted = wantedOf(given);
    const content = files[wanted.file];
    if (content === undefined) return noAnswer(`the script ${wanted.file} did not come with the image`, { remedy: "bakehouse bake" });
    if (wanted.on === "cell") {
      const run = await context.cell.exec(["/bin/sh", "-c", IN_CELL, "sh", ...wanted.arguments], { timeoutMs, signal, stdin: content });
      return answerOf(run, timeoutMs);
    }
    const run = await context.host.run(["/bin/sh", "-c", ON_HOST, "sh", ...wanted.arguments], {
      timeoutMs,
      signal,
      stdin: content,
      environment: { BAKEHOUSE_TREE: context.tree.hostPath, BAKEHOUSE_SCRATCH: context.host.scratchFolder() },
    });
    return answerOf(run, timeoutMs);
  },
  selfTest: {
    sound: { options: { file: "self-test.sh", arguments: ["/etc/passwd"] }, brings: SELF_TEST },
    faulty: { options: { file: "self-test.sh", arguments: ["/etc/bakehouse-self-test"] }, brings: SELF_TEST },
  },
});

/** /run may be mounted noexec, /tmp need not exist: wherever a file can be started. */
const IN_CELL = `umask 077
for d in /run /tmp /var/tmp; do
  f=$d/.bakehouse-check-$$
  cat > $f 2>/dev/null || continue
  chmod 700 $f; $f "$@"; code=$?
  rm -f $f; exit $code
done
exit 126`;
const ON_HOST = `umask 077; f=$BAKEHOUSE_SCRATCH/script; cat > $f && chmod 700 $f && exec $f "$@"`;

const wantedOf = (given: Options): z.output<typeof full> => (typeof given === "string" ? full.parse({ file: given }) : given);

function answerOf({ code, stdout, stderr, timedOut }: ExecResult, timeoutMs: number): CheckAnswer {
  const excerpt = lastLines(`${stdout}\n${stderr}`);
  const answered = { exit: code, stdout: stdout.slice(-4000), stderr: stderr.slice(-4000) };
  const last = lastLines(stdout, 1)[0] ?? lastLines(stderr, 1)[0] ?? `it ended with ${code}`;
  if (timedOut) return noAnswer(`it took longer than ${timeoutMs} ms and was ended`, { answered, excerpt });
  if (code === 0) return passed(last, { answered });
  if (code === UNDECIDED) return undecided(last, { answered, excerpt });
  if (CANNOT_RUN.includes(code))
    return noAnswer(`the script cannot be run: ${last}`, { answered, excerpt, remedy: "does the image have what its first line names?" });
  return failed(last, { answered, excerpt });
}
