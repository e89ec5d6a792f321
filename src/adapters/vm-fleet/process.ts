import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import type { Owner } from "../../ports/store.ts";
import { pathWithSystemFolders } from "../host-tools/find-program.ts";
import { isAlive, startTimeOf, thisProcess } from "../local-store/owners.ts";
import { QEMU } from "../machines/qemu-arguments.ts";
import { qmpOver, type Qmp } from "../machines/qmp.ts";

/** By QEMU itself, in the folder of its machine, before the guest's first instruction. It holds a lock on it as long as it lives. */
const PID_FILE = "qemu.pid";
const QMP_SOCKET = "qmp.sock";

/** A machine's process that lives on when this one ends. @returns it @throws Error with what QEMU says */
export async function startProcess(folder: string, arguments_: readonly string[]): Promise<Owner> {
  const own = ["-daemonize", "-pidfile", join(folder, PID_FILE), "-qmp", `unix:${QMP_SOCKET},server=on,wait=off`];
  const child = spawn(QEMU, [...arguments_, ...own], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: pathWithSystemFolders(process.env["PATH"]), LC_ALL: "C", TMPDIR: folder },
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once("exit", resolve).once("error", reject));
  const complaints = text(child.stderr);
  if ((await ended) !== 0) throw new Error((await complaints).trim() || "QEMU could not start the machine");
  const found = processIn(folder);
  if (found === undefined) throw new Error("QEMU has ended at once");
  return found;
}

/** The process that was started in a folder, by its own note; a number alone could be somebody else's by now. */
export function processIn(folder: string): Owner | undefined {
  try {
    const pid = Number(readFileSync(join(folder, PID_FILE), "utf8").trim());
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const startTime = startTimeOf(pid);
    if (!words.includes(join(folder, PID_FILE)) || startTime === undefined) return undefined;
    return { ...thisProcess("machine"), pid, startTime };
  } catch {
    return undefined;
  }
}

const END_MS = 5000;

/** Ends exactly this process, and waits until it is gone. */
export async function endProcess(owner: Owner): Promise<void> {
  for (const end = performance.now() + END_MS; isAlive(owner); await delay(10))
    try {
      process.kill(owner.pid, performance.now() > end ? "SIGKILL" : "SIGTERM");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
}

/** Files that a process has open at this moment, by device and inode: what a name leads to by now could be another file. */
export function openFiles({ pid }: Owner): ReadonlySet<string> {
  const folder = `/proc/${pid}/fd`;
  const found = new Set<string>();
  for (const name of readdirSync(folder))
    try {
      if (readlinkSync(join(folder, name)).startsWith("/")) found.add(fileId(statSync(join(folder, name), { bigint: true })));
    } catch {
      // closed meanwhile
    }
  return found;
}

export const fileId = ({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string => `${dev}:${ino}`;

/** One conversation with the QEMU of a folder. QEMU listens to one at a time: others wait. */
export async function withQmp<T>(folder: string, timeoutMs: number, talk: (qmp: Qmp) => Promise<T>): Promise<T> {
  // by way of an open folder: a socket's path has at most 107 bytes (unix(7)), that of a store may have more
  const directory = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  const socket = connect(`/proc/self/fd/${directory}/${QMP_SOCKET}`);
  const late = delay(timeoutMs, undefined, { ref: false }).then((): never => {
    throw new Error(`QEMU did not answer within ${timeoutMs / 1000} s`);
  });
  late.catch(() => undefined);
  try {
    const qmp = qmpOver(socket, socket, (over) => socket.once("error", over).once("close", over));
    return await Promise.race([talk(qmp), late]);
  } finally {
    socket.destroy();
    closeSync(directory);
  }
}
