import { type AnyCommand, type CommandRow, type Completes, flagOf } from "../command.ts";
import { GLOBAL_OPTIONS } from "../program.ts";

/** What completion needs to know of one option. */
export interface CompletedOption {
  readonly flag: string;
  readonly short?: string;
  readonly summary: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  readonly completes: Completes;
}

export interface CompletedCommand {
  /** One or two words. */
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** Choices and kinds of all its arguments together: shells need not know which comes first. */
  readonly choices: readonly string[];
  readonly completes: Completes;
}

export interface CompletionModel {
  readonly commands: readonly CompletedCommand[];
  readonly globals: readonly CompletedOption[];
  /** First words with their summaries; groups such as `image` once. */
  readonly firstWords: readonly { readonly word: string; readonly summary: string }[];
}

export async function completionModel(rows: readonly CommandRow[]): Promise<CompletionModel> {
  const commands = await Promise.all(rows.map(async (row) => completedCommand((await row.load()).command)));
  return { commands, globals: GLOBAL_OPTIONS.map(globalOption), firstWords: firstWordsOf(commands) };
}

/** The second words after a group's name; empty for plain commands. */
export const secondWords = (model: CompletionModel, first: string): readonly { readonly word: string; readonly summary: string }[] =>
  model.commands
    .filter(({ name }) => name.startsWith(`${first} `))
    .map(({ name, summary }) => ({ word: name.slice(first.length + 1), summary }));

function completedCommand(command: AnyCommand): CompletedCommand {
  const options = Object.entries(command.options ?? {}).map(([key, row]) => ({
    flag: flagOf(key),
    ...(row.short === undefined ? {} : { short: `-${row.short}` }),
    summary: row.summary,
    takesValue: row.value !== undefined,
    choices: row.choices ?? [],
    completes: row.completes ?? "none",
  }));
  const args = Object.values(command.arguments ?? {});
  const events = {
    flag: "--events",
    summary: "Print every event as one line of JSON",
    takesValue: false,
    choices: [],
    completes: "none",
  } as const;
  return {
    name: command.name,
    summary: command.summary,
    options: command.reports === true ? [...options, events] : options,
    choices: args.flatMap(({ choices }) => choices ?? []),
    completes: args.find(({ completes }) => completes !== undefined)?.completes ?? "none",
  };
}

function globalOption({ flags, summary, completes }: (typeof GLOBAL_OPTIONS)[number]): CompletedOption {
  const short = /^-\w(?=,)/.exec(flags)?.[0];
  return {
    flag: /--[a-z-]+/.exec(flags)?.[0] ?? flags,
    ...(short === undefined ? {} : { short }),
    summary,
    takesValue: flags.includes("<"),
    choices: [],
    completes: completes ?? "none",
  };
}

function firstWordsOf(commands: readonly CompletedCommand[]): CompletionModel["firstWords"] {
  const words = new Map<string, string>();
  for (const { name, summary } of commands) {
    const [first = name] = name.split(" ");
    if (!words.has(first)) words.set(first, first === name ? summary : `Commands about one ${first}`);
  }
  return [...words].map(([word, summary]) => ({ word, summary }));
}
