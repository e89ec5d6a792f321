import type { CheckAnswer } from "../../core/checks/check.ts";
import type { JsonValue } from "../../core/json.ts";

type Rest = Omit<CheckAnswer, "verdict" | "summary">;

export const passed = (summary: string, rest: Rest = {}): CheckAnswer => ({ verdict: "passed", summary, ...rest });
export const failed = (summary: string, rest: Rest = {}): CheckAnswer => ({ verdict: "failed", summary, ...rest });
/** No answer could be had. */
export const noAnswer = (summary: string, rest: Rest = {}): CheckAnswer => ({ verdict: "error", summary, ...rest });
/** There are answers, and they do not decide. */
export const undecided = (summary: string, rest: Rest = {}): CheckAnswer => ({ verdict: "inconclusive", summary, ...rest });

/** Failed with every problem, or passed: what a check says that looks at several things. */
export function allOf(
  problems: readonly string[],
  fine: string,
  rest: { readonly answered?: JsonValue; readonly remedy?: string; readonly excerpt?: readonly string[] } = {},
): CheckAnswer {
  const [first] = problems;
  if (first === undefined) return passed(fine, rest.answered === undefined ? {} : { answered: rest.answered });
  const more = problems.length === 1 ? "" : ` (and ${problems.length - 1} more)`;
  return failed(`${first}${more}`, { ...rest, excerpt: [...(problems.length === 1 ? [] : problems), ...(rest.excerpt ?? [])] });
}

/** The last lines of a tool's output, at most as many as people read. */
export const lastLines = (text: string, count = 20): readonly string[] =>
  text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-count)
    .map((line) => (line.length > 500 ? `${line.slice(0, 500)}…` : line));
