import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Server, type Socket } from "node:net";
import type { Owner } from "../../ports/store.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { startTimeOf, thisProcess } from "../local-store/owners.ts";
import { keeperProgram } from "./keeper-folder.ts";

/** Where the keeper's own mounts are seen from outside. */
export const keeperRoot = (pid: number): string => `/proc/${pid}/root`;
/** Where the keeper looks for a credential of the machine. */
export const credentialPath = (name: string): string => `/run/cell/credential-${name}`;
/** Where the keeper holds the merged tree of its cell. */
export const MACHINE_ROOT = "/run/cell/root";

export interface KeeperRequest {
  /** The cell's folder in the store. */
  readonly folder: string;
  /** Folder of the diffs, and the names in it, the newest first. */
  readonly diffs: string;
  readonly lowers: readonly string[];
  readonly machine: string;
  readonly cgroups: readonly string[];
  /** Listening sockets of this process that the keeper takes over, and the cell's port of each. */
  readonly publish: readonly { readonly server: Server; readonly cellPort: number }[];
  /** Ports of the fabric that are answered by what listens at a path of the keeper. */
  readonly serve: readonly { readonly port: number; readonly path: string }[];
  /** Names of systemd credentials; their content is written to `credentialPath` before the machine boots. */
  readonly credentials: readonly string[];
  /** It dies with this process; otherwise it lives on by itself. */
  readonly diesWithUs: boolean;
}

export interface StartedKeeper {
  readonly owner: Owner;
  /** The image's merged tree; what is written here, the machine sees. */
  readonly root: ImageRoot;
  /** Mounts a release volume, starts the machine, and lets go of the keeper. */
  boot(volume?: { readonly file: string; readonly path: string }): Promise<void>;
  kill(): Promise<void>;
}

const NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--propagation", "slave", "--"];

/**
 * Starts a keeper and waits until the image is mounted. Who ends whom: this process dies → (diesWithUs) the kernel kills
 * `unshare` → that kills the keeper → as process 1 of its namespace it takes systemd-nspawn and the whole machine with it.
 *
 * @throws Error with what the keeper said
 */
export async function startKeeper(request: KeeperRequest): Promise<StartedKeeper> {
  const [program = "", ...argv] = [
    ...(request.diesWithUs ? ["setpriv", "--pdeathsig", "KILL", "--"] : []),
    ...NAMESPACES,
    "/usr/bin/perl",
    keeperProgram(),
  ];
  const child = spawn(program, argv, {
    detached: true,
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe", ...request.publish.map(({ server }) => handleOf(server))],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
  });
  const gone = once(child, "exit");
  const talk = conversation(child);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const [inner] = child.pid === undefined ? [] : childrenOf(child.pid);
    killQuietly(inner ?? child.pid ?? 0);
    await gone;
  };
  try {
    child.stdin?.write(configOf(request));
    await talk.hear("mounted");
    const [pid] = childrenOf(child.pid ?? 0);
    if (pid === undefined) throw new Error("the keeper is gone");
    const root = hostImageRoot(`${keeperRoot(pid)}${MACHINE_ROOT}`);
    return {
      owner: { ...thisProcess("keeps a cell"), pid, startTime: startTimeOf(pid) ?? 0 },
      root,
      boot: async (volume) => {
        if (volume !== undefined) {
          root.makeDirectory(volume.path);
          child.stdin?.write(`volume ${volume.file} ${root.resolve(volume.path).slice(keeperRoot(pid).length)}\n`);
        }
        child.stdin?.end("boot\n");
        await talk.hear("booting");
        letGo(child);
      },
      kill,
    };
  } catch (error) {
    await kill();
    throw error;
  }
}

/** Node takes a handle for a child's descriptor, though its types know streams only (child_process: "shares the descriptor"). */
const handleOf = (server: Server): number => (server as unknown as { readonly _handle: { readonly fd: number } })._handle.fd;

function configOf(request: KeeperRequest): string {
  const lines = [
    `folder ${request.folder}`,
    `diffs ${request.diffs}`,
    `lowers ${request.lowers.join(":")}`,
    `machine ${request.machine}`,
    ...request.cgroups.map((group) => `cgroup ${group}`),
    ...request.publish.map(({ cellPort }, index) => `publish ${index + 3} ${cellPort}`),
    ...request.serve.map(({ port, path }) => `serve ${port} ${path}`),
    ...request.credentials.map((name) => `argument --load-credential=${name}:${credentialPath(name)}`),
  ];
  return `${lines.join("\n")}\n\n`;
}

/** Nothing of it keeps this process alive from now on. */
function letGo(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
}

function conversation(child: ChildProcess): { hear(word: string): Promise<void> } {
  let heard = "";
  let complaints = "";
  let onChange = (): void => undefined;
  let isOver = false;
  child.stdout?.setEncoding("utf8").on("data", (text: string) => ((heard += text), onChange()));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaints = (complaints + text).slice(-2000)));
  child.stdin?.on("error", () => undefined); // its end is told by "close"
  child.once("error", (error) => ((complaints += error.message), (isOver = true), onChange()));
  child.once("close", () => ((isOver = true), onChange()));
  return {
    hear: (word) =>
      new Promise((resolve, reject) => {
        onChange = () => {
          if (heard.includes(`${word}\n`)) resolve();
          else if (isOver || heard.includes("failed ")) reject(new Error(`${/^failed (.*)/m.exec(heard)?.[1] ?? ""}${complaints}`.trim()));
        };
        onChange();
      }),
  };
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export function killQuietly(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    if (pid !== 0) process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** systemd of the cell: below systemd-nspawn, the only process whose innermost number is 1. */
export function machineInit(keeperPid: number): number | undefined {
  return childrenOf(keeperPid)
    .flatMap(childrenOf)
    .find((pid) => {
      try {
        return /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
      } catch {
        return false;
      }
    });
}

/** Says one line to the keeper; the connection begins with its answer. */
function say(pid: number, line: string): Socket {
  const socket = connect(`${keeperRoot(pid)}/run/cell/keeper.sock`);
  socket.write(`${line}\n`);
  return socket;
}

/** Asks the keeper one line, for all that it answers; undefined when it is gone. */
export async function askKeeper(pid: number, line: string, signal?: AbortSignal): Promise<string | undefined> {
  const socket = say(pid, line).setEncoding("utf8");
  const stop = (): void => void socket.destroy();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    let answer = "";
    for await (const text of socket as AsyncIterable<string>) answer += text;
    return answer.endsWith("\n") ? answer : undefined;
  } catch {
    return undefined; // no such socket any more: the keeper has ended
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** A connection to a port of the cell, made in the network beside it. */
export function connectThroughKeeper(pid: number, port: number, timeoutMs: number): Promise<Socket | "refused" | "timeout"> {
  const socket = say(pid, `connect ${port}`);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => (socket.destroy(), resolve("timeout")), timeoutMs);
    const finish = (result: Socket | "refused" | "timeout"): void => {
      clearTimeout(timer);
      if (result !== socket) socket.destroy();
      socket.removeListener("readable", onReadable);
      resolve(result);
    };
    let answer = "";
    /** One byte at a time: what follows the line is the connection's. */
    const onReadable = (): void => {
      for (let byte = socket.read(1) as Buffer | null; byte !== null; byte = socket.read(1) as Buffer | null) {
        if (byte[0] !== 10) answer += byte.toString();
        else return finish(answer === "open" ? socket : answer === "timeout" ? "timeout" : "refused");
      }
    };
    socket.on("readable", onReadable);
    socket.once("error", (error) => (clearTimeout(timer), reject(error)));
    socket.once("end", () => (clearTimeout(timer), reject(new Error("The cell has ended"))));
  });
}
