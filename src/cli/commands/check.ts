import { shortDigest } from "../../core/digest.ts";
import type { CheckResult, Verdict } from "../../core/checks/verdict.ts";
import type { CheckOutcome } from "../../engine/check-image.ts";
import type { SelfTestOutcome } from "../../engine/self-test.ts";
import { defineCommand } from "../command.ts";
import { announce } from "../cycle/announce.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { VERDICT_SIGNS } from "../reporters/words.ts";
import type { Terminal } from "../terminal.ts";
import { count, fit, formatDuration } from "../text.ts";

/** As CHECK_NOT_PASSED has it: the command worked, and the image is not good. */
const NOT_PASSED = 6;
const SHOWN_LINES = 12;

export const command = defineCommand({
  name: "check",
  summary: "Boot an image as a cell and ask it what it promises to pass",
  description: `Starts the image as a machine of its own (systemd as PID 1, a network whose only route leads into a trap), runs the checks that
its recipe declares, side by side, and keeps what was asked and answered as a signed paper beside the image. The recipe is not needed.

A verdict is **passed**, **failed**, **error** (there was no answer) or **inconclusive** (the answers do not decide). The exit code is 0 only
when every check passed, else 6. Ctrl-C leaves neither cell nor evidence.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    check: {
      value: "name",
      many: true,
      summary: "Only this check, by its name or type; also a type that is not declared and needs no options",
    },
    keep: { summary: "Leave the cell running for a look" },
    selfTest: {
      summary: "Show of each type of check (those that the image declares, or --check) that it finds a fault that is put into the image",
    },
  },
  examples: [
    { line: "check shop/release", does: "Everything that the release promises" },
    { line: "check shop/release --check hygiene --check http", does: "Only these" },
    { line: "check shop/release --keep", does: "Leave the machine for a look" },
    { line: "check shop/release --self-test", does: "Would these checks find what they are there for?" },
  ],
  reports: true,
  run: async ({ args, options, global, terminal, env, signal, report }) => {
    const { checkParts } = await import("../../presets/checks.ts");
    const outcome = await withImages({ global, terminal }, async (parts): Promise<CheckOutcome | SelfTestOutcome> => {
      const withPapers = checkParts({ ...parts, papers: await parts.papers(), baker: await parts.baker() }, env);
      if (options.selfTest)
        return (await import("../../engine/self-test.ts")).selfTest(withPapers, args.image, options.check, { signal, report });
      const { checkImage } = await import("../../engine/check-image.ts");
      return checkImage(withPapers, args.image, { only: options.check, keep: options.keep, signal, report });
    });
    if (!("tested" in outcome)) {
      const { checkedHappening } = await import("../../presets/cycles.ts");
      const recipe = outcome.name.split("/")[0] ?? "";
      await announce({ global, terminal, env, signal }, [{ recipe, happening: checkedHappening(outcome) }]);
    }
    return outcome;
  },
  render: (outcome, { terminal, args }) => {
    if ("tested" in outcome) return selfTestText(outcome, terminal);
    const { bold, dim } = terminal.colors;
    const bad = outcome.results.filter(({ verdict }) => verdict !== "passed");
    const head = `${VERDICT_SIGNS[outcome.verdict](terminal.colors)} ${bold(outcome.name)} ${dim(shortDigest(outcome.image))} ${WORDS[outcome.verdict]}: ${tally(outcome)} in ${formatDuration(outcome.durationMs)}`;
    const lines = bad.flatMap((result) => ["", ...resultLines(result, terminal)]);
    const next = nextLines(outcome, args.image);
    return [
      head,
      ...lines,
      "",
      `${dim("Evidence:")} ${shortDigest(outcome.evidence)}`,
      `${dim("Next:")} ${next.join(dim("  or  "))}`,
      "",
    ].join("\n");
  },
  exitCode: (outcome) => {
    const isGood = "tested" in outcome ? outcome.tested.every(({ trusted }) => trusted) : outcome.verdict === "passed";
    return isGood ? 0 : NOT_PASSED;
  },
});

function selfTestText({ name, image, tested, evidence, durationMs }: SelfTestOutcome, { colors }: Terminal): string {
  const { bold, dim, green, red } = colors;
  const lines = tested.map(({ check, sound, faulty, trusted }) =>
    trusted
      ? `${green("✔")} ${check} ${dim(`finds the fault: ${faulty.summary}`)}`
      : `${red("✖")} ${bold(check)} ${sound.verdict === "passed" ? `does not find the fault: ${faulty.verdict}, ${faulty.summary}` : `does not pass without a fault: ${sound.verdict}, ${sound.summary}`}`,
  );
  const good = tested.filter(({ trusted }) => trusted).length;
  const head = `${bold(name)} ${dim(shortDigest(image))}: ${good} of ${count(tested.length, "check type")} can be trusted (${formatDuration(durationMs)})`;
  return `${lines.join("\n")}\n\n${head}\n${dim("Evidence:")} ${shortDigest(evidence)}\n`;
}

const WORDS: Readonly<Record<Verdict, string>> = {
  passed: "passed",
  failed: "failed",
  error: "gave no answer",
  inconclusive: "is undecided",
};

function tally({ results }: CheckOutcome): string {
  if (results.length === 0) return "no checks are declared";
  const parts = (["passed", "failed", "error", "inconclusive"] as const).flatMap((verdict) => {
    const number = results.filter((result) => result.verdict === verdict).length;
    return number === 0 ? [] : [`${number} ${verdict}`];
  });
  return `${parts.join(", ")} of ${count(results.length, "check")}`;
}

function resultLines({ name, check, layer, verdict, summary, excerpt, remedy }: CheckResult, terminal: Terminal): readonly string[] {
  const { bold, dim } = terminal.colors;
  const type = name === check ? "" : `${check}, `;
  const shown = excerpt.slice(0, SHOWN_LINES).map((line) => `    ${dim(fit(line, terminal.columns - 5))}`);
  const more = excerpt.length > SHOWN_LINES ? [`    ${dim(`and ${excerpt.length - SHOWN_LINES} more: --json shows all`)}`] : [];
  return [
    `${VERDICT_SIGNS[verdict](terminal.colors)} ${bold(name)} ${dim(`(${type}${layer})`)} ${verdict}: ${summary}`,
    ...shown,
    ...more,
    ...(remedy === undefined ? [] : [`  → ${remedy}`]),
  ];
}

function nextLines({ verdict, cell, results }: CheckOutcome, image: string): readonly string[] {
  if (cell !== undefined) return [`bakehouse exec ${cell} -- sh`, `bakehouse logs ${cell}`, `bakehouse stop ${cell}`];
  if (results.length === 0) return ["declare checks under `checks:` in the recipe", `bakehouse check ${image} --check hygiene`];
  if (verdict === "passed") return [`bakehouse image show ${image}`];
  const first = results.find((result) => result.verdict !== "passed" && result.check !== "boot");
  return [`bakehouse check ${image}${first === undefined ? "" : ` --check ${first.name}`} --keep`];
}
