import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

/** QEMU's own protocol: one JSON object a line, commands are answered in order, events come in between. */
export interface Qmp {
  /** The output of a command of QEMU's monitor. @throws Error when the process ends instead of answering */
  monitor(commandLine: string): Promise<string>;
}

interface Waiter {
  resolve(output: string): void;
  reject(error: Error): void;
}

export function qmpOf(child: ChildProcess): Qmp {
  const waiters: Waiter[] = [];
  let ended = false;
  const send = (command: unknown): void => void child.stdin?.write(`${JSON.stringify(command)}\n`);
  const ask = (command: unknown): Promise<string> =>
    new Promise((resolve, reject) => {
      if (ended) reject(new Error("QEMU has ended"));
      waiters.push({ resolve, reject });
      send(command);
    });
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on("line", (line) => {
      const message = messageOf(line);
      if (message === undefined || !("return" in message || "error" in message)) return;
      const waiter = waiters.shift();
      if ("error" in message) waiter?.reject(new Error(JSON.stringify(message["error"])));
      else waiter?.resolve(typeof message["return"] === "string" ? message["return"] : "");
    });
  child.stdin?.on("error", () => undefined); // it has ended: whoever waits is told by "close"
  child.once("close", () => {
    ended = true;
    for (const waiter of waiters.splice(0)) waiter.reject(new Error("QEMU has ended"));
  });
  const ready = ask({ execute: "qmp_capabilities" });
  return {
    monitor: async (commandLine) => {
      await ready;
      return ask({ execute: "human-monitor-command", arguments: { "command-line": commandLine } });
    },
  };
}

function messageOf(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
