import type { CheckDefinition } from "../../src/core/checks/check.ts";
import { cell, fieldTable } from "./schema-text.ts";

/** docs/reference/checks.md: every check with its options and examples. */
export function checksPage(checks: readonly CheckDefinition[]): string {
  const sorted = checks.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const list = sorted.map((check) => `| [\`${check.id}\`](#${check.id}) | ${placeOf(check)} | ${cell(check.summary)} |`);
  return [
    "# Checks",
    "",
    "What an image must pass before anybody trusts it. Where a check looks: **cell**, the image booted as a machine of its own; **tree**, its",
    "files, nothing started; **vm**, a virtual machine. Beside its options every check takes `name`, `replaces`, `retries`, `interval`",
    "and `timeout` ([recipe](recipe.md#checks)).",
    "",
    "| Check | Looks at | |",
    "|---|---|---|",
    ...list,
    "",
    ...sorted.map(checkText),
  ].join("\n");
}

const placeOf = ({ platform }: CheckDefinition): string => (typeof platform === "string" ? platform : "cell or tree");

function checkText(check: CheckDefinition): string {
  const examples = check.examples.flatMap((example) => ["```yaml", example.trim(), "```", ""]);
  const { retries, intervalMs, timeoutMs } = check.defaults;
  const tries = retries === 0 ? "Asked once" : `Asked up to ${retries + 1} times, ${intervalMs} ms apart`;
  return [
    `## ${check.id}`,
    "",
    `${check.summary}.`,
    "",
    check.description.trim(),
    "",
    `${tries}; ${timeoutMs / 1000} s for one attempt.`,
    "",
    ...examples,
    fieldTable(check.options),
  ].join("\n");
}
