import { z } from "zod";
import { defineCheck, type CheckAnswer } from "../core/checks/check.ts";
import { compileGlobs } from "../core/glob.ts";
import type { CheckTree, HostPrograms } from "../ports/check-services.ts";
import { failed, lastLines, noAnswer, passed, undecided } from "./lib/answers.ts";

const ruleName = () =>
  z.string().regex(/^[\w*?[\]-]+$/, { error: (issue) => `${JSON.stringify(issue.input)} is no rule such as sshd_disable_root_login` });

const options = z.strictObject({
  profile: z
    .string()
    .regex(/^[\w.-]+$/)
    .default("standard")
    .describe("Profile of the content: standard, anssi_np_nt28_minimal, …_average, …_restrictive, …_high"),
  rules: z.array(ruleName()).min(1).optional().describe("Only these rules, by the end of their id, with *"),
  except: z.array(ruleName()).default([]).describe("Rules that need not hold: partition_for_*"),
  content: z
    .enum(["own", "nearest"])
    .default("own")
    .describe("Whose rules: those of the image's release, or where there are none yet those of the newest release before it"),
  severity: z.enum(["low", "medium", "high"]).default("low").describe("Rules of this severity and graver count"),
});

const CONTENT = "/usr/share/xml/scap/ssg/content";
/** Of Debian; the last is a guess of how long this list is good. */
const RELEASES = [10, 11, 12, 13, 14, 15, 16];
const RULE_PREFIX = "xccdf_org.ssgproject.content_rule_";
const SEVERITIES = ["unknown", "low", "medium", "high"];

interface RuleResult {
  readonly rule: string;
  readonly severity: string;
  readonly result: string;
}

/** Evaluates a security profile with OpenSCAP, against the image's files. */
export const cis = defineCheck({
  id: "cis",
  version: 1,
  summary: "The rules of a security profile hold (OpenSCAP)",
  description: `Runs \`oscap\` of this machine against the image's files, with the rules that Debian packages in \`ssg-debian\`
(\`apt-get install openscap-scanner ssg-debian\`); nothing is installed in the image. Content is made for one release, and \`ssg-debian\` of Debian 12
has it for 10 and 11. Without content for the image's release there is no answer, unless \`content: nearest\` takes that
of the newest release before it, and then the answer says so.

Each rule that fails is listed. A tool or content that is missing is an **error**, never passed; a profile none of whose rules applied is **inconclusive**.`,
  examples: [
    `- cis: { content: nearest, except: ["partition_for_*", "*audit*"] }`,
    `- cis: { profile: anssi_np_nt28_minimal, severity: high }`,
  ],
  options,
  platform: "tree",
  needs: ["tree", "host"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 300_000 },
  async run({ options: wanted, tree, host, timeoutMs, signal }) {
    const scanner = host.find("oscap");
    if (scanner === undefined)
      return noAnswer("oscap is not installed on this machine", { remedy: "apt-get install openscap-scanner ssg-debian" });
    const content = contentFor(tree, host, wanted.content);
    if ("problem" in content) return noAnswer(content.problem, content.remedy === undefined ? {} : { remedy: content.remedy });
    const scratch = host.scratchFolder();
    const file = `ssg-debian${content.release}`;
    // the content says for which release it is; for another one every rule would be "not applicable"
    const prepare = `cd ${scratch} && cp ${CONTENT}/${file}-*.xml . && sed -E -i 's#<(xccdf-1.2:)?platform idref="cpe:/o:debian:debian_linux:[0-9]+"/>##' ${file}-xccdf.xml`;
    const prepared = await host.run(["/bin/sh", "-c", prepare], { timeoutMs: 30_000, signal });
    if (prepared.code !== 0) throw new Error(`the content could not be prepared: ${prepared.stderr.trim()}`);
    const profile = wanted.profile.startsWith("xccdf_") ? wanted.profile : `xccdf_org.ssgproject.content_profile_${wanted.profile}`;
    const run = await host.run(
      [
        scanner,
        "xccdf",
        "eval",
        "--cpe",
        `${scratch}/${file}-cpe-dictionary.xml`,
        "--profile",
        profile,
        "--results",
        `${scratch}/results.xml`,
        `${scratch}/${file}-xccdf.xml`,
      ],
      { timeoutMs: timeoutMs - 1000, signal, environment: { OSCAP_PROBE_ROOT: tree.hostPath } },
    );
    if (run.timedOut) return noAnswer(`oscap took longer than ${timeoutMs} ms and was ended`);
    // 0: all rules hold, 2: some do not, 1: it could not evaluate (oscap(8))
    if (run.code !== 0 && run.code !== 2)
      return noAnswer(`oscap could not evaluate the profile ${wanted.profile}`, { excerpt: lastLines(run.stderr) });
    const results = resultsIn(host.readText(`${scratch}/results.xml`) ?? "");
    return verdictOf(results, wanted, content.note);
  },
  selfTest: {
    sound: {
      options: { content: "nearest", rules: ["file_permissions_etc_shadow"] },
      files: [{ path: "/etc/shadow", content: "root:*:1::::::\n", mode: 0o640 }],
    },
    faulty: {
      options: { content: "nearest", rules: ["file_permissions_etc_shadow"] },
      files: [{ path: "/etc/shadow", content: "root:*:1::::::\n", mode: 0o666 }],
    },
  },
});

type Content = { readonly release: number; readonly note: string } | { readonly problem: string; readonly remedy?: string };

function contentFor(tree: CheckTree, host: HostPrograms, wanted: "own" | "nearest"): Content {
  const os = tree.root.readText("/etc/os-release") ?? "";
  if (!/^ID="?debian"?$/m.test(os)) return { problem: "the image is no Debian, so Debian's content says nothing about it" };
  const release = Number(/^VERSION_ID="?(\d+)"?$/m.exec(os)?.[1]);
  const known = RELEASES.filter((at) => host.find(`${CONTENT}/ssg-debian${at}-xccdf.xml`) !== undefined);
  if (known.length === 0)
    return { problem: "Debian's security content is not installed on this machine", remedy: "apt-get install ssg-debian" };
  if (known.includes(release)) return { release, note: "" };
  const before = known.findLast((at) => at < release);
  const none = `there is no content for Debian ${Number.isNaN(release) ? "without a version" : release} on this machine, only for ${known.join(", ")}`;
  if (before === undefined) return { problem: none, remedy: "install ssg-debian of the image's release" };
  if (wanted === "own")
    return { problem: none, remedy: `install ssg-debian of a newer Debian, or say \`content: nearest\` for the rules of Debian ${before}` };
  return { release: before, note: `, by the content for Debian ${before}, as there is none for ${release}` };
}

const resultsIn = (xml: string): readonly RuleResult[] =>
  [...xml.matchAll(/<rule-result\b([^>]*)>\s*<result>(\w+)<\/result>/g)].map(([, attributes = "", result = ""]) => ({
    rule: (/idref="([^"]+)"/.exec(attributes)?.[1] ?? "").replace(RULE_PREFIX, ""),
    severity: /severity="(\w+)"/.exec(attributes)?.[1] ?? "unknown",
    result,
  }));

function verdictOf(all: readonly RuleResult[], wanted: z.output<typeof options>, note: string): CheckAnswer {
  const only = wanted.rules === undefined ? undefined : compileGlobs(wanted.rules);
  const except = compileGlobs(wanted.except);
  const results = all.filter(
    ({ rule, severity, result }) =>
      result !== "notselected" &&
      SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(wanted.severity) &&
      (only === undefined || only.matches(rule, false)) &&
      !except.matches(rule, false),
  );
  const of = (...kinds: readonly string[]): readonly RuleResult[] => results.filter(({ result }) => kinds.includes(result));
  const wrong = of("fail");
  const broken = of("error", "unknown");
  const right = of("pass", "fixed");
  const answered = {
    passed: right.length,
    failed: wrong.map(({ rule }) => rule),
    error: broken.map(({ rule }) => rule),
    rules: results.length,
  };
  const list = (these: readonly RuleResult[]): readonly string[] =>
    these.map(({ rule, severity, result }) => `${result}: ${rule} (${severity})`);
  if (wrong.length > 0)
    return failed(
      `${wrong.length} of ${wrong.length + right.length} rules do not hold: ${wrong[0]?.rule ?? ""}${wrong.length > 1 ? ", …" : ""}${note}`,
      {
        answered,
        excerpt: list(wrong),
        remedy: "harden the image, or name rules that are not meant for it under `except:`",
      },
    );
  if (broken.length > 0)
    return noAnswer(`${broken.length} rules could not be evaluated: ${broken[0]?.rule ?? ""}`, { answered, excerpt: list(broken) });
  if (right.length === 0)
    return undecided(`no rule of the profile applied${note}`, { answered, remedy: "see `rules`, `severity` and `profile`" });
  return passed(`${right.length} rules hold${note}`, { answered });
}
