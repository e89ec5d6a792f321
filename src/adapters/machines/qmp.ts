import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";

/** QEMU's own protocol: one JSON object a line, commands are answered in order, events come in between. */
export interface Qmp {
  /** What a command returns. @throws Error when it is refused, or the process ends instead of answering */
  execute(command: string, arguments_?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** The output of a command of QEMU's monitor. @throws Error when the process ends instead of answering */
  monitor(commandLine: string): Promise<string>;
}

interface Waiter {
  resolve(output: unknown): void;
  reject(error: Error): void;
}

/** Over standard input and output of the process. */
export function qmpOf(child: ChildProcess): Qmp {
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("QEMU was started without pipes");
  return qmpOver(stdout, stdin, (over) => child.once("close", over));
}

/** @param onEnd  calls what it is given when no answer can come any more */
export function qmpOver(input: Readable, output: Writable, onEnd: (over: () => void) => void): Qmp {
  const waiters: Waiter[] = [];
  let ended = false;
  const ask = (command: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (ended) reject(new Error("QEMU has ended"));
      waiters.push({ resolve, reject });
      output.write(`${JSON.stringify(command)}\n`);
    });
  createInterface({ input }).on("line", (line) => {
    const message = messageOf(line);
    if (message === undefined || !("return" in message || "error" in message)) return;
    const waiter = waiters.shift();
    if ("error" in message) waiter?.reject(new Error(JSON.stringify(message["error"])));
    else waiter?.resolve(message["return"]);
  });
  output.on("error", () => undefined); // it has ended: whoever waits is told so below
  onEnd(() => {
    ended = true;
    for (const waiter of waiters.splice(0)) waiter.reject(new Error("QEMU has ended"));
  });
  const ready = ask({ execute: "qmp_capabilities" });
  ready.catch(() => undefined); // whoever asks something is told
  const execute: Qmp["execute"] = async (command, arguments_) => {
    await ready;
    return ask({ execute: command, ...(arguments_ === undefined ? {} : { arguments: arguments_ }) });
  };
  return {
    execute,
    monitor: async (commandLine) => String(await execute("human-monitor-command", { "command-line": commandLine })),
  };
}

function messageOf(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
