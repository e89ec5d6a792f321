import { ERROR_CODES } from "../../src/core/errors.ts";
import { EXIT_FAULT } from "../../src/cli/print-error.ts";
import { cell } from "./schema-text.ts";

const EXITS: readonly (readonly [number, string])[] = [
  [0, "it worked"],
  [1, "the work failed"],
  [2, "the input is wrong: command line, recipe, lock, reference"],
  [3, "something is missing on this machine"],
  [4, "a rule refuses it"],
  [5, "somebody else is at work on it"],
  [EXIT_FAULT, "a fault in Bakehouse: please report it with the lines it printed"],
  [130, "stopped by Ctrl-C or a signal"],
];

/** docs/reference/errors.md: exit codes and error codes. */
export function errorsPage(): string {
  const rows = Object.entries(ERROR_CODES).map(([code, { means, exit, http }]) => `| \`${code}\` | ${cell(means)} | ${exit} | ${http} |`);
  return [
    "# Errors",
    "",
    "An error has a code, a message with the value that is wrong, and most often the next command to try. With `--json` it is one line on",
    'stderr: `{"error":{"code":…,"message":…,"hint":…,"details":…}}`. Programs look at the code, never at the message.',
    "",
    "| Exit code | |",
    "|---|---|",
    ...EXITS.map(([exit, means]) => `| ${exit} | ${means} |`),
    "",
    "| Code | It means | Exit code | HTTP status |",
    "|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}
