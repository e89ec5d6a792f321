import type { Problem } from "../../core/errors.ts";
import { substituteText } from "../../core/expression/substitute.ts";
import { suggestion } from "../../core/text/did-you-mean.ts";
import type { ParameterValue } from "../../core/recipe/model.ts";

export interface FilledTemplate {
  readonly text: string;
  readonly problems: readonly Problem[];
}

/**
 * Fills `{{parameter}}` in a file as the recipe itself does it; `{{!name}}` gives `{{name}}`. A name that is no
 * parameter is a problem with file, line and column.
 */
export function fillTemplate(file: string, text: string, parameters: ReadonlyMap<string, ParameterValue>): FilledTemplate {
  if (!text.includes("{{")) return { text, problems: [] };
  const problems: Problem[] = [];
  const lines = text.split("\n").map((line, index) => fillLine(file, line, index + 1, parameters, problems));
  return { text: lines.join("\n"), problems };
}

function fillLine(
  file: string,
  line: string,
  lineNumber: number,
  parameters: ReadonlyMap<string, ParameterValue>,
  problems: Problem[],
): string {
  let from = 0;
  return substituteText(line, parameters, (name, known) => {
    // Names come in the order of the text, so each is looked for behind the one before.
    const at = line.slice(from).search(new RegExp(`\\{\\{\\s*${name}\\s*\\}\\}`)) + from;
    from = at + 1;
    if (known) return;
    const guess = suggestion(name, [...parameters.keys()], "parameters");
    problems.push({
      file,
      line: lineNumber,
      column: at + 1,
      message: `there is no parameter "${name}"`,
      hint: [guess, `{{!${name}}} gives {{${name}}}`].filter((part) => part !== undefined).join("; "),
    });
  });
}

/** Parameters that a template may use: all, or the ones that the step names. */
export function templateParameters(
  all: Readonly<Record<string, ParameterValue>>,
  wanted: readonly string[] | undefined,
): ReadonlyMap<string, ParameterValue> {
  return new Map(Object.entries(all).filter(([name]) => wanted === undefined || wanted.includes(name)));
}

/** Text as people write it: UTF-8 without NUL. */
export function textOf(content: Uint8Array): string | undefined {
  if (content.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    return undefined;
  }
}
