import { type CompletedCommand, type CompletedOption, type CompletionModel, secondWords } from "./model.ts";

/** A script for `~/.config/fish/completions/bakehouse.fish`. */
export function fishScript(model: CompletionModel): string {
  const groups = model.firstWords.filter(({ word }) => secondWords(model, word).length > 0).map(({ word }) => word);
  return [
    "# fish completion for bakehouse, made by `bakehouse completion fish`",
    "complete -c bakehouse -f",
    ...model.globals.map((option) => `complete -c bakehouse ${optionText(option)}`),
    ...model.firstWords.map(({ word, summary }) => `complete -c bakehouse -n __fish_use_subcommand -a ${word} -d ${quote(summary)}`),
    ...groups.flatMap((group) => {
      const words = secondWords(model, group);
      const none = `__fish_seen_subcommand_from ${group}; and not __fish_seen_subcommand_from ${words.map(({ word }) => word).join(" ")}`;
      return words.map(({ word, summary }) => `complete -c bakehouse -n ${quote(none)} -a ${word} -d ${quote(summary)}`);
    }),
    ...model.commands.flatMap(commandLines),
    "",
  ].join("\n");
}

function commandLines(command: CompletedCommand): readonly string[] {
  const condition = quote(
    command.name
      .split(" ")
      .map((word) => `__fish_seen_subcommand_from ${word}`)
      .join("; and "),
  );
  const lines = command.options.map((option) => `complete -c bakehouse -n ${condition} ${optionText(option)}`);
  if (command.choices.length > 0) lines.push(`complete -c bakehouse -n ${condition} -a ${quote(command.choices.join(" "))}`);
  if (command.completes !== "none") lines.push(`complete -c bakehouse -n ${condition} -F`);
  return lines;
}

function optionText({ flag, short, summary, takesValue, choices, completes }: CompletedOption): string {
  const parts = [`-l ${flag.slice(2)}`];
  if (short !== undefined) parts.push(`-s ${short.slice(1)}`);
  if (takesValue) parts.push(completes === "none" ? "-x" : "-r -F");
  if (choices.length > 0) parts.push(`-a ${quote(choices.join(" "))}`);
  parts.push(`-d ${quote(summary)}`);
  return parts.join(" ");
}

const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
