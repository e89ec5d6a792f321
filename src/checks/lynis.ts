import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import { failed, lastLines, noAnswer, passed, undecided } from "./lib/answers.ts";

const testId = () =>
  z.string().regex(/^[A-Z]{3,5}-\d{4}$/, { error: (issue) => `${JSON.stringify(issue.input)} is no test such as AUTH-9308` });

const options = z.strictObject({
  minIndex: z.int().min(0).max(100).optional().describe("Smallest hardening index"),
  warnings: z.boolean().default(true).describe("true: every warning fails the check"),
  except: z.array(testId()).default([]).describe("Tests whose warnings are meant"),
  tests: z.array(testId()).min(1).optional().describe("Only these tests; without them all, which takes half a minute"),
});

const FOLDER = "/run/bakehouse-lynis";

/** Audits the booted machine with Lynis. */
export const lynis = defineCheck({
  id: "lynis",
  version: 1,
  summary: "An audit by Lynis finds nothing to warn about",
  description: `Lends the \`lynis\` of this machine (\`apt-get install lynis\`) to the booted cell and audits it from inside; nothing is installed in
the image. Every warning is listed; suggestions are counted only. A Lynis that is missing here, or that does not come to its end, is an **error**.`,
  examples: [`- lynis: { minIndex: 65, except: [NETW-2705] }`, `- lynis: { tests: [AUTH-9204, AUTH-9283] }`],
  options,
  platform: "cell",
  needs: ["cell", "host"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 300_000 },
  async run({ options: wanted, cell, host, timeoutMs, signal }) {
    const program = host.find("lynis");
    if (program === undefined) return noAnswer("lynis is not installed on this machine", { remedy: "apt-get install lynis" });
    const packed = await host.run(["/bin/sh", "-c", `tar -C / -cz usr/share/lynis etc/lynis "${program.slice(1)}" | base64 -w0`], {
      timeoutMs: 30_000,
      signal,
    });
    if (packed.code !== 0 || packed.stdout === "") throw new Error(`lynis could not be packed: ${packed.stderr.trim()}`);
    const lend = `rm -rf ${FOLDER} && mkdir -p ${FOLDER} && cd ${FOLDER} && base64 -d | tar -xz && mv usr/share/lynis/* . && mkdir -p plugins && cp etc/lynis/default.prf . && cp ${program.slice(1)} lynis`;
    const lent = await cell.exec(["/bin/sh", "-c", lend], { timeoutMs: 30_000, signal, stdin: packed.stdout });
    if (lent.code !== 0) throw new Error(`lynis could not be lent to the machine: ${lent.stderr.trim()}`);
    const tests = wanted.tests === undefined ? "" : ` --tests "${wanted.tests.join(" ")}"`;
    const audit = `cd ${FOLDER} && sh ./lynis audit system --usecwd --quick --no-colors --no-log --plugin-dir ${FOLDER}/plugins --report-file ${FOLDER}/report.dat --profile ${FOLDER}/default.prf${tests}; cat ${FOLDER}/report.dat >&2`;
    const run = await cell.exec(["/bin/sh", "-c", audit], { timeoutMs: timeoutMs - 1000, signal });
    if (run.timedOut) return noAnswer(`lynis took longer than ${timeoutMs} ms and was ended`);
    const report = run.stderr.split("\n");
    const values = (name: string): readonly string[] =>
      report.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1));
    if (values("finish").length === 0 && values("report_datetime_end").length === 0)
      return noAnswer("lynis did not come to its end", { excerpt: lastLines(`${run.stdout}\n${run.stderr}`) });
    if (values("tests_executed").every((text) => text === "")) return undecided("lynis ran no test");
    const warnings = values("warning[]").filter((line) => !wanted.except.includes(line.split("|")[0] ?? ""));
    const index = Number(values("hardening_index")[0]);
    const answered = { warnings, suggestions: values("suggestion[]").length, hardeningIndex: Number.isNaN(index) ? null : index };
    const shown = warnings.map((line) => line.split("|").slice(0, 2).join(": "));
    if (wanted.warnings && warnings.length > 0)
      return failed(`${warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`}: ${shown[0] ?? ""}`, {
        answered,
        excerpt: shown,
      });
    if (wanted.minIndex !== undefined && Number.isNaN(index)) return undecided("lynis gave no hardening index", { answered });
    if (wanted.minIndex !== undefined && index < wanted.minIndex)
      return failed(`the hardening index is ${index}, less than ${wanted.minIndex}`, {
        answered,
        excerpt: values("suggestion[]").slice(0, 20),
      });
    return passed(`no warning${Number.isNaN(index) ? "" : `, hardening index ${index}`}`, { answered });
  },
  selfTest: {
    // AUTH-9204: accounts besides root with uid 0
    sound: { options: { tests: ["AUTH-9204"] } },
    faulty: {
      options: { tests: ["AUTH-9204"] },
      files: [
        {
          path: "/etc/passwd",
          content:
            "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0:toor:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        },
      ],
    },
  },
});
