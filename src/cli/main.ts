import { pathWithSystemFolders } from "../adapters/host-tools/find-program.ts";
import { BakehouseError } from "../core/errors.ts";
import type { AnyCommand, CommandContext, CommandRow, GlobalOptions } from "./command.ts";
import { printError } from "./print-error.ts";
import { type Invocation, readCommandLine } from "./program.ts";
import { COMMANDS } from "./registry.ts";
import { storeFolder } from "./store-folder.ts";
import { createTerminal, type Streams, type Terminal } from "./terminal.ts";

export interface MainOptions {
  readonly streams?: Streams;
  readonly folder?: string;
  readonly commands?: readonly CommandRow[];
}

/**
 * The command line from words to exit code. It prints results on stdout and all else on stderr.
 *
 * @param argv  without the program's name
 * @returns the exit code: see `ERROR_CODES`; 0 when all went well
 */
export async function main(argv: readonly string[], options: MainOptions = {}): Promise<number> {
  // Programs that bakes start lie in /usr/sbin, which `su` without `-` leaves out.
  process.env["PATH"] = pathWithSystemFolders(process.env["PATH"]);
  const streams = options.streams ?? { stdout: process.stdout, stderr: process.stderr, env: process.env };
  const plain = { json: argv.includes("--json"), verbose: argv.includes("--verbose") || argv.includes("-v") };
  const commands = options.commands ?? COMMANDS;
  const terminal = createTerminal(streams, { color: !argv.includes("--no-color"), store: storeIn(argv) });
  let lost: number | undefined;
  const output = watchOutput(streams, (error) => {
    lost ??= printError(new BakehouseError("OUTPUT_LOST", `Cannot write the result: ${error.message}`, {}, error), terminal, plain);
    process.exitCode = lost; // the last write mostly fails when all else is done
  });
  let invocation: Invocation | undefined;
  try {
    invocation = await readCommandLine(argv.length === 0 ? ["--help"] : argv, commands, terminal);
    if (invocation === undefined) return 0;
    const code = await runCommand(invocation, { terminal, streams, commands, folder: options.folder ?? process.cwd() });
    return lost ?? code;
  } catch (error) {
    if (output.isBroken()) return 0;
    return printError(error, terminal, { ...plain, recipe: recipeIn(invocation) });
  } finally {
    output.stop();
  }
}

/** Also of a command line that is wrong. */
function storeIn(argv: readonly string[]): string | undefined {
  const words = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  const at = words.lastIndexOf("--store");
  return at < 0 ? words.findLast((word) => word.startsWith("--store="))?.slice("--store=".length) : words[at + 1];
}

/** The recipe that a command was about, when it is not the one of this folder. */
function recipeIn(invocation: Invocation | undefined): string | undefined {
  const recipe = invocation?.command.arguments?.["recipe"]?.completes === "file" ? invocation.args["recipe"] : undefined;
  return typeof recipe === "string" && recipe !== "." ? recipe : undefined;
}

interface Surroundings {
  readonly terminal: Terminal;
  readonly streams: Streams;
  readonly commands: readonly CommandRow[];
  readonly folder: string;
}

async function runCommand(invocation: Invocation, { terminal, streams, commands, folder }: Surroundings): Promise<number> {
  const { command } = invocation;
  const stop = listenForSignals(terminal);
  const { store: storeGiven, ...switches } = invocation.global;
  const global: GlobalOptions = {
    ...switches,
    store: storeFolder(storeGiven, { folder, env: streams.env, uid: process.getuid?.() ?? -1 }),
  };
  const reporter = await reporterFor(command, invocation, terminal);
  const context: CommandContext<Record<string, never>, Record<string, never>> = {
    args: invocation.args as Record<string, never>,
    options: invocation.options as Record<string, never>,
    global,
    terminal,
    folder,
    env: streams.env,
    signal: stop.signal,
    commands,
    report: (event) => reporter?.report(event),
  };
  try {
    const data = await command.run(context).finally(() => reporter?.end());
    print(command, data, invocation, context, terminal);
    return command.exitCode?.(data) ?? 0;
  } catch (error) {
    throw stop.signal.aborted && !(error instanceof BakehouseError)
      ? new BakehouseError("CANCELLED", "Stopped before it was done", {}, error)
      : error;
  } finally {
    stop.dispose();
  }
}

async function reporterFor(command: AnyCommand, invocation: Invocation, terminal: Terminal) {
  if (command.reports !== true) return undefined;
  const { createReporter } = await import("./reporters/create-reporter.ts");
  return createReporter({ ...invocation.global, events: invocation.events }, terminal);
}

function print(
  command: AnyCommand,
  data: unknown,
  invocation: Invocation,
  context: CommandContext<Record<string, never>, Record<string, never>>,
  terminal: Terminal,
): void {
  if (invocation.events) terminal.out(`${JSON.stringify({ type: "result", data })}\n`);
  else if (invocation.global.json) terminal.out(`${JSON.stringify(data, undefined, 2)}\n`);
  else {
    const text = command.render(data, context);
    terminal.out(command.printsDocument === true ? text : terminal.asTyped(text));
  }
}

/** The first signal asks for an orderly end, the second ends at once; what is left then is tidied by the next run. */
function listenForSignals(terminal: Terminal): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const names = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new BakehouseError("CANCELLED", `Stopped by ${name === "SIGINT" ? "Ctrl-C" : name} before it was done`));
    if (name === "SIGINT" && terminal.isLive) terminal.err("\nStopping and tidying up; Ctrl-C again ends at once.\n");
  };
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}

/**
 * A reader that has gone away (`bakehouse images | head -1`, a closed window: EIO) is no error: the process ends quietly. A result
 * that cannot be written (a file on a full disk) is one; progress and warnings that cannot are lost, and the work goes on.
 */
function watchOutput(streams: Streams, onLost: (error: Error) => void): { isBroken(): boolean; stop(): void } {
  let broken = false;
  const isGone = ({ code }: NodeJS.ErrnoException): boolean => code === "EPIPE" || code === "EIO";
  const onError = (error: Error): void => {
    if (!isGone(error)) return;
    broken = true;
    process.exitCode = 0;
  };
  const onOutputError = (error: Error): void => {
    onError(error);
    if (!broken) onLost(error);
  };
  streams.stdout.on("error", onOutputError);
  streams.stderr.on("error", onError);
  return {
    isBroken: () => broken,
    stop: () => {
      // Kept on the process's own streams: an error may arrive after the last write.
      if (streams.stdout === process.stdout) return;
      streams.stdout.off("error", onOutputError);
      streams.stderr.off("error", onError);
    },
  };
}
