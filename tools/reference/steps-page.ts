import type { StepDefinition } from "../../src/core/step.ts";
import { cell, fieldTable } from "./schema-text.ts";

/** docs/reference/steps.md: every step with its options and examples. */
export function stepsPage(steps: readonly StepDefinition[]): string {
  const sorted = steps.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const list = sorted.map(
    ({ id, role, summary }) => `| [\`${id}\`](#${id}) | ${role === "foundation" ? "starts a layer" : ""} | ${cell(summary)} |`,
  );
  return [
    "# Steps",
    "",
    "What a layer is made of, in order. A step that starts a layer is the first of a layer without `from`.",
    "",
    "| Step | | |",
    "|---|---|---|",
    ...list,
    "",
    ...sorted.map(stepText),
  ].join("\n");
}

function stepText(step: StepDefinition): string {
  const examples = step.examples.flatMap((example) => ["```yaml", example.trim(), "```", ""]);
  return [`## ${step.id}`, "", sentence(step.summary), "", step.description.trim(), "", ...examples, fieldTable(step.options)].join("\n");
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
