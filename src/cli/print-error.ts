import { BakehouseError, ERROR_CODES } from "../core/errors.ts";
import type { Terminal } from "./terminal.ts";

/** Exit code for a fault of our own (EX_SOFTWARE of sysexits.h): no ErrorCode has it. */
export const EXIT_FAULT = 70;

export interface PrintOptions {
  readonly json: boolean;
  readonly verbose?: boolean;
  /** As it was typed. */
  readonly recipe?: string | undefined;
}

/** Tells what went wrong on stderr: code, message, hint; for our own faults the stack, which is what a report needs. */
export function printError(thrown: unknown, terminal: Terminal, options: PrintOptions): number {
  const error = asRefusal(thrown);
  if (options.json) terminal.err(`${JSON.stringify({ error: errorData(error) })}\n`);
  else terminal.err(errorText(error, terminal, options));
  return error instanceof BakehouseError ? ERROR_CODES[error.code].exit : EXIT_FAULT;
}

/** Files that this user may not read or write are no fault of ours (a store of root's, looked at by somebody else), nor paths that cannot be. */
function asRefusal(error: unknown): unknown {
  if (error instanceof BakehouseError || !(error instanceof Error)) return error;
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === "ENAMETOOLONG" || code === "ELOOP" || code === "ENOTDIR")
    return new BakehouseError("INPUT_INVALID", `${path ?? "A path"} cannot be used (${code})`, {}, error);
  if ((code !== "EACCES" && code !== "EPERM") || path === undefined) return error;
  const hint = "run the same command through sudo, or with a store of your own: --store DIR";
  return new BakehouseError("SETUP_INCOMPLETE", `This user may not use ${path} (${code})`, { hint }, error);
}

function errorData(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof BakehouseError)) return { code: "FAULT", message: messageOf(error) };
  const { hint, details } = error.help;
  return {
    code: error.code,
    message: error.message,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
  };
}

function errorText(error: unknown, terminal: Terminal, { verbose = false, recipe }: PrintOptions): string {
  const { red, bold, dim, cyan } = terminal.errorColors;
  if (!(error instanceof BakehouseError)) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return `${red(bold("error FAULT"))} This is a fault in Bakehouse, not in what you typed. Please report it with these lines:\n${dim(stack)}\n`;
  }
  const lines = [`${red(bold(`error ${error.code}`))} ${error.message}`];
  if (error.help.hint !== undefined)
    lines.push(...hintLines(terminal.asTyped(aboutRecipe(error.help.hint, recipe))).map(([label, line]) => `${cyan(label)} ${line}`));
  if (verbose && error.cause !== undefined) lines.push(dim(`  because ${messageOf(error.cause)}`));
  return `${lines.join("\n")}\n`;
}

/** What can be typed: a command of ours or of the system, an option, a variable before a command. */
const COMMAND = /^(?:\S*bakehouse |--?[a-z]|[A-Z_]+=|(?:sudo|apt-get|chmod|mkdir|sysctl|fuser|qemu-img|skopeo|gpg|openssl|ip|kill) )/;

/** The engine knows no folders of users: what it says of a recipe holds for the one that was named. */
const aboutRecipe = (hint: string, recipe: string | undefined): string =>
  recipe === undefined ? hint : hint.replace(/\bbakehouse (?:lock|bake|plan)\b(?! [A-Z])/g, (command) => `${command} ${recipe}`);

const hintLines = (hint: string): readonly (readonly [label: string, line: string])[] => {
  const label = COMMAND.test(hint) ? "  try" : "  hint";
  return hint.split("\n").map((line, index) => [index === 0 ? label : " ".repeat(label.length), line]);
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
