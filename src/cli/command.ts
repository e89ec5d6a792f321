import type { BakehouseEvent } from "../core/events.ts";
import type { Terminal } from "./terminal.ts";

/** What shell completion offers for a value. */
export type Completes = "file" | "directory" | "none";

export interface ArgumentDefinition {
  readonly summary: string;
  /** Default true. An argument with a `default` is optional, too. */
  readonly required?: boolean;
  /** Takes all the rest as a list; only the last argument may. */
  readonly many?: boolean;
  readonly choices?: readonly string[];
  readonly default?: string;
  readonly completes?: Completes;
}

/**
 * An option; its key in camelCase gives the flag: `keepOnFailure` is `--keep-on-failure`, `noCache` is `--no-cache`.
 * Without `value` it is a switch, false unless given.
 */
export interface OptionDefinition {
  readonly summary: string;
  /** One letter: `-f`. */
  readonly short?: string;
  /** What the value is called in the help: `step` gives `--from <step>`. */
  readonly value?: string;
  /** `count`: a whole number from 1. Default `text`. */
  readonly type?: "text" | "count";
  /** May be given more than once; the result is a list. */
  readonly many?: boolean;
  readonly choices?: readonly string[];
  readonly default?: string | number;
  readonly completes?: Completes;
}

export type ArgumentDefinitions = Readonly<Record<string, ArgumentDefinition>>;
export type OptionDefinitions = Readonly<Record<string, OptionDefinition>>;

type Text<D> = D extends { readonly choices: readonly (infer Choice)[] } ? Choice : string;
type Given<D, Value> = D extends { readonly required: false }
  ? D extends { readonly default: string }
    ? Value
    : Value | undefined
  : Value;
type ArgumentValue<D> = D extends { readonly many: true } ? readonly Text<D>[] : Given<D, Text<D>>;
type Scalar<D> = D extends { readonly type: "count" } ? number : Text<D>;
type OptionValue<D> = D extends { readonly value: string }
  ? D extends { readonly many: true }
    ? readonly Scalar<D>[]
    : D extends { readonly default: string | number }
      ? Scalar<D>
      : Scalar<D> | undefined
  : boolean;

export type ArgumentValues<A> = { readonly [Name in keyof A]: ArgumentValue<A[Name]> };
export type OptionValues<O> = { readonly [Name in keyof O]: OptionValue<O[Name]> };

/** Options that every command has. */
export interface GlobalOptions {
  /** Absolute path of the store's folder: `--store`, else `$BAKEHOUSE_HOME`, else the default of this user. */
  readonly store: string;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

export interface CommandContext<A, O> {
  readonly args: ArgumentValues<A>;
  readonly options: OptionValues<O>;
  readonly global: GlobalOptions;
  readonly terminal: Terminal;
  /** Absolute path of the folder that the command was typed in. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first Ctrl-C, SIGTERM or SIGHUP; the second ends the process at once. */
  readonly signal: AbortSignal;
  /** Every command that there is. */
  readonly commands: readonly CommandRow[];
  /** Shows an event of the engine, in the way that fits the terminal and `--events`, `--quiet`, `--verbose`. */
  report(event: BakehouseEvent): void;
}

export interface RenderContext<A, O> {
  readonly args: ArgumentValues<A>;
  readonly options: OptionValues<O>;
  readonly global: GlobalOptions;
  readonly terminal: Terminal;
}

export interface CommandDefinition<A extends ArgumentDefinitions, O extends OptionDefinitions, Data> {
  /** One or two words: `bake`, `image show`. The file is called the same, with `-` for the space. */
  readonly name: string;
  /** One line, without a full stop. */
  readonly summary: string;
  /** Markdown for the reference and the end of `--help`; when the summary is not enough. */
  readonly description?: string;
  readonly arguments?: A;
  readonly options?: O;
  /** Command lines without `bakehouse`, each with what it does. */
  readonly examples: readonly { readonly line: string; readonly does: string }[];
  /** Reports events: gets `--events` (every event as one line of JSON on stdout, the result as the last). */
  readonly reports?: boolean;
  /** Does the work and returns plain data, which is what `--json` prints. Import the engine inside, so that `--help` stays fast. */
  run(context: CommandContext<A, O>): Promise<Data>;
  /** The data for people. Lines must fit `terminal.columns`; use `table` of text.ts. `""` prints nothing. */
  render(data: Data, context: RenderContext<A, O>): string;
  /** What is printed is for a file or another program, or is not our own text. */
  readonly printsDocument?: boolean;
  /** When a result that is no error should be seen by scripts, such as `doctor` with something missing. Default 0. */
  exitCode?(data: Data): number;
}

/** A command whose types are forgotten: what registry, help, completion and reference work with. */
export type AnyCommand = CommandDefinition<ArgumentDefinitions, OptionDefinitions, unknown>;

export const COMMAND_GROUPS = [
  "Bake",
  "Look at images",
  "Run images",
  "Prove it",
  "Release it",
  "Renew",
  "Roll out",
  "Keep the store",
  "This machine",
] as const;
export type CommandGroup = (typeof COMMAND_GROUPS)[number];

export interface CommandRow {
  readonly name: string;
  readonly group: CommandGroup;
  /** The same as in the command's file (a test compares): here, so that `--help` need not load every command. */
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: AnyCommand }>;
}

/**
 * Declares a command: one file `src/cli/commands/<name>.ts` that exports it as `command`, and one row in `registry.ts`.
 *
 * @example
 * export const command = defineCommand({
 *   name: "image show",
 *   summary: "Show one image",
 *   arguments: { image: { summary: "Digest, unique prefix or name" } },
 *   options: { layers: { summary: "Show the diffs, too" } },
 *   examples: [{ line: "image show shop", does: "The newest image called shop" }],
 *   run: async ({ args, options, global }) => (await import("../../engine/show-image.ts")).showImage(global.store, args.image, options),
 *   render: (image) => `${image.digest}\n`,
 * });
 */
export function defineCommand<
  const A extends ArgumentDefinitions = Record<never, never>,
  const O extends OptionDefinitions = Record<never, never>,
  Data = unknown,
>(definition: CommandDefinition<A, O, Data>): AnyCommand {
  return definition;
}

/** `keepOnFailure` → `--keep-on-failure`. */
export const flagOf = (key: string): string => `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
