import { type AnyCommand, COMMAND_GROUPS } from "../../src/cli/command.ts";
import { argumentUsage, GLOBAL_OPTIONS, optionUsage } from "../../src/cli/program.ts";
import { COMMANDS } from "../../src/cli/registry.ts";
import { cell } from "./schema-text.ts";

/** docs/reference/cli.md: every command with its arguments, options and examples. */
export async function cliPage(): Promise<string> {
  const loaded = await Promise.all(COMMANDS.map(async (row) => ({ row, command: (await row.load()).command })));
  const groups = COMMAND_GROUPS.filter((group) => loaded.some(({ row }) => row.group === group));
  const list = groups.map((group) => {
    const lines = loaded
      .filter(({ row }) => row.group === group)
      .map(({ command }) => `| [\`${command.name}\`](#${anchor(command.name)}) | ${cell(command.summary)} |`);
    return [`**${group}**`, "", "| Command | |", "|---|---|", ...lines, ""].join("\n");
  });
  const globals = GLOBAL_OPTIONS.map(({ flags, summary }) => `| \`${flags}\` | ${cell(summary)} |`);
  return [
    "# Commands",
    "",
    "`bakehouse <command> --help` shows the same. Results go to stdout, progress and errors to stderr; exit codes are in [errors](errors.md).",
    "",
    ...list,
    "## Options of every command",
    "",
    "| Option | |",
    "|---|---|",
    ...globals,
    "",
    ...loaded.map(({ command }) => commandText(command)),
  ].join("\n");
}

const anchor = (name: string): string => name.replaceAll(" ", "-");

function commandText(command: AnyCommand): string {
  const args = Object.entries(command.arguments ?? {});
  const options = Object.entries(command.options ?? {});
  const usage = [
    "bakehouse",
    command.name,
    ...args.map(([name, row]) => argumentUsage(name, row)),
    ...(options.length > 0 ? ["[options]"] : []),
  ].join(" ");
  const rows = [
    ...args.map(([name, row]) => `| \`${argumentUsage(name, row)}\` | ${cell(withChoices(row.summary, row))} |`),
    ...options.map(([key, row]) => `| \`${optionUsage(key, row)}\` | ${cell(withChoices(row.summary, row))} |`),
    ...(command.reports === true ? ["| `--events` | Print every event as one line of JSON, the result as the last |"] : []),
  ];
  const examples = command.examples.map(({ line, does }) => `# ${does}\nbakehouse ${line}`);
  return [
    `## ${command.name}`,
    "",
    `${command.summary}.`,
    "",
    ...(command.description === undefined ? [] : [command.description.trim(), ""]),
    "```sh",
    usage,
    "```",
    "",
    ...(rows.length === 0 ? [] : ["| | |", "|---|---|", ...rows, ""]),
    "```sh",
    ...examples,
    "```",
    "",
  ].join("\n");
}

function withChoices(summary: string, row: { readonly choices?: readonly string[]; readonly default?: string | number }): string {
  const choices = row.choices === undefined ? "" : `: ${row.choices.map((choice) => `\`${choice}\``).join(", ")}`;
  return `${summary}${choices}${row.default === undefined ? "" : ` (default \`${row.default}\`)`}`;
}
