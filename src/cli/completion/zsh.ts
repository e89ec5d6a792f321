import { type CompletedCommand, type CompletedOption, type CompletionModel, secondWords } from "./model.ts";

/** A script for a file `_bakehouse` on zsh's `$fpath`, or for `eval` after `compinit`. */
export function zshScript(model: CompletionModel): string {
  const groups = model.firstWords.filter(({ word }) => secondWords(model, word).length > 0).map(({ word }) => word);
  return `#compdef bakehouse
# zsh completion for bakehouse, made by \`bakehouse completion zsh\`
_bakehouse() {
  local curcontext=$curcontext state line
  local -a commands
  _arguments -C ${model.globals.map(spec).join(" ")} '1: :->command' '*:: :->rest' && return
  case $state in
  command)
    commands=(${described(model.firstWords)})
    _describe command commands
    ;;
  rest)
    case $line[1] in
${groups.map((group) => groupCase(model, group)).join("\n")}
${model.commands
  .filter(({ name }) => !name.includes(" "))
  .map((command) => `    ${command.name}) ${argumentsOf(command, model.globals)} ;;`)
  .join("\n")}
    esac
    ;;
  esac
}
if [[ $funcstack[1] == _bakehouse ]]; then _bakehouse "$@"; else compdef _bakehouse bakehouse; fi
`;
}

function groupCase(model: CompletionModel, group: string): string {
  const cases = model.commands
    .filter(({ name }) => name.startsWith(`${group} `))
    .map((command) => `        ${command.name.slice(group.length + 1)}) ${argumentsOf(command, model.globals)} ;;`);
  return `    ${group})
      if ((CURRENT == 2)); then
        commands=(${described(secondWords(model, group))})
        _describe command commands
      else
        shift words
        ((CURRENT--))
        case $words[1] in
${cases.join("\n")}
        esac
      fi
      ;;`;
}

const argumentsOf = (command: CompletedCommand, globals: readonly CompletedOption[]): string =>
  `_arguments ${[...command.options, ...globals].map(spec).join(" ")} '*: :${action(command)}'`;

function spec(option: CompletedOption): string {
  const help = `[${escape(option.summary).replaceAll("[", "\\[").replaceAll("]", "\\]")}]`;
  const value = option.takesValue ? `: :${action(option)}` : "";
  return [option.flag, ...(option.short === undefined ? [] : [option.short])].map((flag) => `'${flag}${help}${value}'`).join(" ");
}

function action({ choices, completes }: Pick<CompletedOption, "choices" | "completes">): string {
  if (choices.length > 0) return `(${choices.join(" ")})`;
  if (completes === "none") return " ";
  return completes === "file" ? "_files" : "_files -/";
}

const described = (words: readonly { readonly word: string; readonly summary: string }[]): string =>
  words.map(({ word, summary }) => `'${word}:${escape(summary)}'`).join(" ");

const escape = (text: string): string => text.replaceAll("'", `'\\''`).replaceAll(":", "\\:");
