import { Argument, Command, CommanderError, Option } from "commander";
import { BakehouseError } from "../core/errors.ts";
import { VERSION } from "../core/version.ts";
import { type AnyCommand, type ArgumentDefinition, type CommandRow, flagOf, type OptionDefinition } from "./command.ts";
import type { Terminal } from "./terminal.ts";

/** What the words on the command line mean. */
export interface Invocation {
  readonly command: AnyCommand;
  readonly args: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly events: boolean;
  readonly global: {
    readonly store?: string;
    readonly json: boolean;
    readonly quiet: boolean;
    readonly verbose: boolean;
    readonly color: boolean;
  };
}

export interface GlobalOptionRow {
  readonly flags: string;
  readonly summary: string;
  readonly completes?: "directory";
}

/** Understood before and after the command's name. */
export const GLOBAL_OPTIONS: readonly GlobalOptionRow[] = [
  { flags: "--store <dir>", summary: "Keep images and packages here instead of $BAKEHOUSE_HOME or the default", completes: "directory" },
  { flags: "--json", summary: "Print the result as JSON" },
  { flags: "-q, --quiet", summary: "No progress, only the result" },
  { flags: "-v, --verbose", summary: "Also every line that steps print" },
  { flags: "--no-color", summary: "No colours (as NO_COLOR in the environment)" },
];

/**
 * Reads the command line. Only the one command that is meant gets loaded; of the others the help needs but name and summary.
 *
 * @returns undefined when the line asked for help or the version, which is then printed
 * @throws BakehouseError USAGE, with what was meant
 */
export async function readCommandLine(
  argv: readonly string[],
  rows: readonly CommandRow[],
  terminal: Terminal,
): Promise<Invocation | undefined> {
  const row = chosenRow(argv, rows);
  const command = row === undefined ? undefined : (await row.load()).command;
  const found: { invocation?: Invocation } = {};
  const program = buildProgram(rows, terminal, command, (invocation) => (found.invocation = invocation));
  try {
    await program.parseAsync(row === undefined && isOnlyGroup(argv, rows) ? [...argv, "--help"] : argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw usageError(error, command?.name ?? groupIn(argv, rows));
  }
  return found.invocation;
}

/** The row whose name the words that are no options start with. */
function chosenRow(argv: readonly string[], rows: readonly CommandRow[]): CommandRow | undefined {
  const [first, second] = wordsOf(argv);
  if (first === "help") return rows.find((row) => row.name === second || row.name.startsWith(`${String(second)} `));
  return rows.find((row) => row.name === `${String(first)} ${String(second)}`) ?? rows.find((row) => row.name === first);
}

const groupIn = (argv: readonly string[], rows: readonly CommandRow[]): string | undefined => {
  const [first] = wordsOf(argv);
  return rows.some((row) => row.name.startsWith(`${String(first)} `)) ? first : undefined;
};

/** `bakehouse image` alone asks what there is. */
const isOnlyGroup = (argv: readonly string[], rows: readonly CommandRow[]): boolean =>
  wordsOf(argv).length === 1 && groupIn(argv, rows) !== undefined;

/** Command words: what is left without options; `--store` takes the word after it. */
function wordsOf(argv: readonly string[]): readonly string[] {
  const words: string[] = [];
  for (let index = 0; index < argv.length && words.length < 2; index++) {
    const word = argv[index] ?? "";
    if (word === "--") break;
    if (word === "--store") index++;
    else if (!word.startsWith("-")) words.push(word);
  }
  return words;
}

function buildProgram(
  rows: readonly CommandRow[],
  terminal: Terminal,
  loaded: AnyCommand | undefined,
  onInvocation: (invocation: Invocation) => void,
): Command {
  const program = frame(new Command("bakehouse"), terminal)
    .description("Bakes immutable, hermetic, reproducible machine images in four layers")
    .usage("<command> [options]")
    .version(VERSION, "-V, --version", "Print the version")
    .helpCommand("help [command]", "Show the help of a command");
  for (const { flags, summary } of GLOBAL_OPTIONS) program.option(flags, summary);
  program.addHelpText("after", "\nbakehouse <command> --help shows the options and examples of a command.\n");
  const groups = new Map<string, Command>();
  for (const row of rows) {
    const words = row.name.split(" ");
    const parent = words.length === 1 ? program : groupCommand(program, groups, row, terminal);
    const command = frame(new Command(words.at(-1) ?? row.name), terminal)
      .summary(row.summary)
      .description(row.summary)
      .helpGroup(`${row.group}:`);
    parent.addCommand(command);
    if (loaded?.name === row.name) declare(command, loaded, onInvocation);
  }
  return program;
}

function groupCommand(program: Command, groups: Map<string, Command>, row: CommandRow, terminal: Terminal): Command {
  const name = row.name.slice(0, row.name.indexOf(" "));
  const known = groups.get(name);
  if (known !== undefined) return known;
  const group = frame(new Command(name), terminal)
    .summary(`Commands about one ${name}`)
    .description(`Commands about one ${name}`)
    .usage("<command> [options]")
    .helpGroup(`${row.group}:`);
  groups.set(name, group);
  program.addCommand(group);
  return group;
}

/** Errors come back as exceptions, help fits the terminal. */
function frame(command: Command, terminal: Terminal): Command {
  const width = Math.min(terminal.columns, 110);
  return command
    .exitOverride()
    .showSuggestionAfterError(true)
    .helpOption("-h, --help", "Show this help")
    .configureHelp({
      showGlobalOptions: true,
      sortSubcommands: false,
      helpWidth: width,
      minWidthToWrap: 16,
      styleTitle: (title) => terminal.colors.bold(title),
    })
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      outputError: () => undefined,
      getOutHelpWidth: () => width,
      getErrHelpWidth: () => width,
      getOutHasColors: () => terminal.colors.isColorSupported,
      getErrHasColors: () => terminal.errorColors.isColorSupported,
    });
}

function declare(command: Command, definition: AnyCommand, onInvocation: (invocation: Invocation) => void): void {
  const argumentRows = Object.entries(definition.arguments ?? {});
  const optionRows = Object.entries(definition.options ?? {});
  if (definition.description !== undefined) command.description(`${definition.summary}\n\n${unwrap(definition.description)}`);
  for (const [name, row] of argumentRows) command.addArgument(argumentFor(name, row));
  for (const [key, row] of optionRows) command.addOption(optionFor(key, row));
  if (definition.reports === true) command.option("--events", "Print every event as one line of JSON, the result as the last");
  if (definition.examples.length > 0) command.addHelpText("after", `\nExamples:\n${examplesText(definition)}\n`);
  command.action((...given: unknown[]) => {
    const all = command.optsWithGlobals<Record<string, unknown>>();
    const args = Object.fromEntries(argumentRows.map(([name], index) => [name, given[index]]));
    const options = Object.fromEntries(optionRows.map(([key, row]) => [key, optionValue(key, row, all)]));
    const store = all["store"];
    onInvocation({
      command: definition,
      args,
      options,
      events: all["events"] === true,
      global: {
        ...(typeof store === "string" ? { store } : {}),
        json: all["json"] === true,
        quiet: all["quiet"] === true,
        verbose: all["verbose"] === true,
        color: all["color"] !== false,
      },
    });
  });
}

/** One line a paragraph, so that the help can wrap it to the terminal. */
const unwrap = (text: string): string => text.trim().replaceAll(/(?<!\n)\n(?!\n|[-*] )/g, " ");

const examplesText = (definition: AnyCommand): string =>
  definition.examples.map(({ line, does }) => `  # ${does}\n  bakehouse ${line}`).join("\n");

const argumentName = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `<image>`, `[recipe]`, `[step...]`: how help and reference write an argument. */
export function argumentUsage(name: string, row: ArgumentDefinition): string {
  const text = `${argumentName(name)}${row.many === true ? "..." : ""}`;
  return row.required === false || row.default !== undefined ? `[${text}]` : `<${text}>`;
}

/** `-f, --from <step>`: how help and reference write an option. */
export function optionUsage(key: string, row: OptionDefinition): string {
  const value = row.value === undefined ? "" : ` <${row.value}>`;
  return `${row.short === undefined ? "" : `-${row.short}, `}${flagOf(key)}${value}`;
}

function argumentFor(name: string, row: ArgumentDefinition): Argument {
  const argument = new Argument(argumentUsage(name, row), row.summary);
  if (row.choices !== undefined) argument.choices(row.choices);
  if (row.default !== undefined) argument.default(row.default);
  return argument;
}

function optionFor(key: string, row: OptionDefinition): Option {
  const option = new Option(optionUsage(key, row), row.choices === undefined ? row.summary : `${row.summary}: ${row.choices.join(", ")}`);
  if (row.default !== undefined) option.default(row.default);
  const read = (value: string): string | number => {
    if (row.choices !== undefined && !row.choices.includes(value)) {
      throw new CommanderError(
        1,
        "commander.invalidArgument",
        `${option.flags} cannot be "${value}"; it is one of ${row.choices.join(", ")}`,
      );
    }
    return row.type === "count" ? readCount(option.flags, value) : value;
  };
  if (row.value === undefined) return option;
  return option.argParser((value: string, before: unknown) =>
    row.many === true ? [...(Array.isArray(before) ? before : []), read(value)] : read(value),
  );
}

function readCount(flags: string, value: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(value)) return Number(value);
  throw new CommanderError(1, "commander.invalidArgument", `${flags} needs a whole number from 1, not "${value}"`);
}

/** Commander turns `--no-cache` into `cache: false`; here the key is `noCache` and means what it says. */
function optionValue(key: string, row: OptionDefinition, all: Readonly<Record<string, unknown>>): unknown {
  if (row.value !== undefined) return all[key] ?? (row.many === true ? [] : undefined);
  const negated = /^no([A-Z])(.*)$/.exec(key);
  if (negated === null) return all[key] === true;
  return all[`${(negated[1] ?? "").toLowerCase()}${negated[2] ?? ""}`] === false;
}

function usageError(error: CommanderError, name: string | undefined): BakehouseError {
  const [first = "", ...rest] = error.message.replace(/^error: (?:option '[^\n]*' argument '[^\n]*' is invalid\. )?/, "").split("\n");
  const suggestion = rest
    .join(" ")
    .replace(/^\(|\)$/g, "")
    .replace(/^Did you mean /, "did you mean ")
    .trim();
  const message = `${first.charAt(0).toUpperCase()}${first.slice(1)}${suggestion === "" ? "" : `: ${suggestion}`}`;
  return new BakehouseError("USAGE", message, { hint: `bakehouse ${name === undefined ? "" : `${name} `}--help` }, error);
}
