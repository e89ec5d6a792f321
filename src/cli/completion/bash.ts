import { type CompletedCommand, type CompletedOption, type CompletionModel, secondWords } from "./model.ts";

/** A script for `eval "$(bakehouse completion bash)"`. Static: completing a word starts no process of ours. */
export function bashScript(model: CompletionModel): string {
  const firsts = model.firstWords.map(({ word }) => word);
  const groups = firsts.filter((word) => secondWords(model, word).length > 0);
  return `# bash completion for bakehouse, made by \`bakehouse completion bash\`
_bakehouse() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} command= word index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    --store) ((index++)) ;;
    -*) ;;
    *)
      if [[ -z $command ]]; then
        command=$word
        [[ " ${groups.join(" ")} " == *" $word "* ]] || break
      else
        command+=" $word"
        break
      fi
      ;;
    esac
  done
  COMPREPLY=()
  case $command in
  "") ${offer([...firsts, "help"], model.globals, { choices: [], completes: "none" })} ;;
${groups
  .map(
    (group) =>
      `  ${quote(group)}) COMPREPLY=($(compgen -W ${quote(
        secondWords(model, group)
          .map(({ word }) => word)
          .join(" "),
      )} -- "$current")) ;;`,
  )
  .join("\n")}
${model.commands.map((command) => caseOf(command, model.globals)).join("\n")}
  esac
}
complete -F _bakehouse bakehouse ./bakehouse
`;
}

function caseOf(command: CompletedCommand, globals: readonly CompletedOption[]): string {
  const valued = [...command.options, ...globals].filter(({ takesValue }) => takesValue);
  const values = valued.map(
    (option) => `    ${option.short === undefined ? "" : `${option.short} | `}${option.flag}) ${valueReply(option)}; return ;;`,
  );
  return [
    `  ${quote(command.name)})`,
    ...(values.length === 0 ? [] : ["    case $previous in", ...values, "    esac"]),
    `    ${offer([], [...command.options, ...globals], command)}`,
    "    ;;",
  ].join("\n");
}

const flagsOf = (options: readonly CompletedOption[]): string => options.map(({ flag }) => flag).join(" ");

function offer(
  words: readonly string[],
  options: readonly CompletedOption[],
  values: Pick<CompletedCommand, "choices" | "completes">,
): string {
  const action = values.completes === "file" ? "-f " : values.completes === "directory" ? "-d " : "";
  const plain = [...words, ...values.choices].join(" ");
  return `if [[ $current == -* ]]; then COMPREPLY=($(compgen -W ${quote(`${flagsOf(options)} --help`)} -- "$current")); else COMPREPLY=($(compgen ${action}-W ${quote(plain)} -- "$current")); fi`;
}

function valueReply({ choices, completes }: CompletedOption): string {
  if (choices.length > 0) return `COMPREPLY=($(compgen -W ${quote(choices.join(" "))} -- "$current"))`;
  if (completes === "none") return "COMPREPLY=()";
  return `COMPREPLY=($(compgen ${completes === "file" ? "-f" : "-d"} -- "$current"))`;
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
