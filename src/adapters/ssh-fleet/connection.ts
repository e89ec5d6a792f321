import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { BakehouseError } from "../../core/errors.ts";
import type { SshHost } from "../../core/fleet/model.ts";
import { readIfThere, writeAtomically } from "../local-store/files.ts";
import { throwIfCancelled } from "../overlay-diffs/run-program.ts";
import { shellQuote } from "../sandbox/holder.ts";

/** ssh did not get through to a machine, or lost it; `message` says why in ssh's words. Nothing is known of what was done there. */
export class HostSilent extends Error {}

export interface RunOptions {
  readonly timeoutMs: number;
  /**
   * A short question, over a connection of its own that is closed when it gets no answer: what is at work on the same machine is
   * not cut off by that.
   */
  readonly isLook?: boolean;
  readonly signal?: AbortSignal;
  /** For its standard input. A stream gets a connection of its own, since it may take long. */
  readonly input?: Readable | Buffer;
}

export interface Ran {
  /** Never 255. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One machine, reached by the `ssh` of this host. The user's own settings of ssh do not count. */
export interface SshConnection {
  /**
   * Runs a script for sh(1) there, as root.
   *
   * @throws HostSilent, also when what answers is not the machine of the recipe: nothing was sent to it then; CANCELLED
   */
  run(script: string, parameters: readonly string[], options: RunOptions): Promise<Ran>;
  /** Command line of this host that runs a program there. */
  commandLine(argv: readonly string[]): readonly string[];
  /** Closes what is kept for the next one. */
  hangUp(): Promise<void>;
}

/** How long a connection is kept for the next one; a rollout looks every few seconds. */
const KEPT_SECONDS = 60;
/** Shorter than the 5 s that a machine has for an answer, so that the reason is ssh's own. */
const CONNECT_SECONDS = 4;
/** A connection over which nothing comes is given up after three times this. */
const ALIVE_SECONDS = 3;

/** @param identity  absolute path of the private key */
export function sshConnection(host: SshHost, identity: string): SshConnection {
  // named by all that a connection stands for: one that was opened under another host key is not this one
  const { address, port, user, hostKey } = host;
  const name = createHash("sha256")
    .update(JSON.stringify([address, port, user, hostKey, identity]))
    .digest("hex")
    .slice(0, 20);
  const knownHosts = join(connectionsFolder(), `${name}.hosts`);
  const known = `${name} ${hostKey.split(" ").slice(0, 2).join(" ")}\n`;
  const kept = (isLook: boolean): string => `ControlPath=${join(connectionsFolder(), isLook ? name : `${name}w`)}`;
  const argv = (more: readonly string[]): readonly string[] => {
    if (readIfThere(knownHosts) !== known) writeAtomically(knownHosts, known, 0o600);
    const settings = [
      `UserKnownHostsFile=${knownHosts}`,
      "GlobalKnownHostsFile=/dev/null",
      `HostKeyAlias=${name}`,
      `HostKeyAlgorithms=${algorithmsOf(hostKey)}`,
      "StrictHostKeyChecking=yes",
      "UpdateHostKeys=no",
      "BatchMode=yes",
      "IdentitiesOnly=yes",
      "IdentityAgent=none",
      "ForwardAgent=no",
      "LogLevel=ERROR",
      `ConnectTimeout=${CONNECT_SECONDS}`,
      `ServerAliveInterval=${ALIVE_SECONDS}`,
      ...more,
    ];
    const options = settings.flatMap((setting) => ["-o", setting]);
    return ["ssh", "-F", "none", ...options, "-i", identity.replaceAll("%", "%%"), "-p", String(port), "-l", user, address];
  };
  const shared = (isLook: boolean): readonly string[] => argv([kept(isLook), "ControlMaster=auto", `ControlPersist=${KEPT_SECONDS}`]);
  const alone = (): readonly string[] => argv(["ControlPath=none"]);
  const hangUp = async (isLook: boolean): Promise<void> => {
    const [ssh = "", ...rest] = argv([kept(isLook)]);
    await start([ssh, "-O", "exit", ...rest], { timeoutMs: HANG_UP_MS }).catch(() => undefined);
  };
  const asRoot = user === "root" ? [] : ["sudo", "-n"];
  return {
    run: async (script, parameters, options) => {
      const remote = [...asRoot, "sh", "-c", script, "bakehouse", ...parameters].map(shellQuote).join(" ");
      const isAlone = options.input instanceof Readable;
      const { isLook = false } = options;
      const once = async (): Promise<Ran> => {
        const ran = await start([...(isAlone ? alone() : shared(isLook)), remote], options);
        if (ran === undefined) throw new HostSilent(`it did not answer within ${options.timeoutMs / 1000} s`);
        if (ran.code === 255) throw silence(ran.stderr);
        return ran;
      };
      try {
        return await once();
      } catch (error) {
        if (isAlone || !(error instanceof HostSilent)) throw error;
        await hangUp(isLook); // what was kept may be dead, such as after a reboot
        if (!KEPT_DIED.test(error.message)) throw error;
        return once();
      }
    },
    commandLine: (words) => {
      const [ssh = "", ...rest] = shared(false);
      return [ssh, "-t", ...rest, [...asRoot, ...words].map(shellQuote).join(" ")];
    },
    hangUp: async () => {
      for (const isLook of [true, false]) await hangUp(isLook);
      rmSync(knownHosts, { force: true });
    },
  };
}

const HANG_UP_MS = 2000;

/** What ssh says when it was not the machine but the kept connection that failed. */
const KEPT_DIED = /mux_client|master|closed by remote host|Broken pipe|Connection reset|connection was lost/i;

/** The server is asked for the kind of key that the recipe has, whatever else it could show. */
function algorithmsOf(hostKey: string): string {
  const kind = hostKey.split(" ")[0] ?? "";
  return kind === "ssh-rsa" ? "rsa-sha2-512,rsa-sha2-256" : kind;
}

function silence(stderr: string): HostSilent {
  const lines = stderr
    .split("\n")
    .map((line) => line.trim().replace(/^ssh: |\.$/g, ""))
    .filter((line) => line !== "");
  if (/Host key verification failed|no matching host key type/i.test(stderr)) {
    const shown = /SHA256:[A-Za-z0-9+/]+/.exec(stderr)?.[0];
    return new HostSilent(`its host key ${shown === undefined ? "" : `(${shown}) `}is not the one in the recipe; nothing was sent to it`);
  }
  return new HostSilent(lines.at(-1) ?? "the connection was lost");
}

let folder: string | undefined;

/**
 * Sockets of kept connections, and the one host key of each. Below the temporary folder and not the store, since the path of a
 * socket has at most 108 bytes (unix(7)), of which our names and what ssh adds take 60; nor may it hold spaces.
 *
 * @throws SETUP_INCOMPLETE when it belongs to somebody else, who could then use the connections
 */
function connectionsFolder(): string {
  if (folder !== undefined && lstatSync(folder, { throwIfNoEntry: false }) !== undefined) return folder;
  const uid = process.getuid?.() ?? 0;
  const path = join(/^[\w./-]{1,40}$/.test(tmpdir()) ? tmpdir() : "/tmp", `bakehouse-ssh-${uid}`);
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const stats = lstatSync(path);
  if (!stats.isDirectory() || stats.uid !== uid || (stats.mode & 0o077) !== 0)
    throw new BakehouseError("SETUP_INCOMPLETE", `${path} is to hold connections, and others may write there`, { hint: `rm -r ${path}` });
  return (folder = path);
}

/** @returns nothing when it took too long */
async function start(argv: readonly string[], { timeoutMs, signal, input }: RunOptions): Promise<Ran | undefined> {
  throwIfCancelled(signal);
  const [program = "", ...rest] = argv;
  const child = spawn(program, rest, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: process.env["HOME"] ?? "/", LC_ALL: "C" },
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-8000)));
  child.stdin.on("error", () => undefined); // it ended before it had read everything: its exit code says why
  if (input instanceof Readable) input.pipe(child.stdin);
  else child.stdin.end(input);
  let isLate = false;
  const onAbort = (): void => void child.kill("SIGKILL");
  const timer = setTimeout(() => ((isLate = true), onAbort()), timeoutMs);
  signal?.addEventListener("abort", onAbort);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
      // a connection that it leaves behind for others may hold its standard error
      child.once("exit", (exit) => void sleep(AFTER_EXIT_MS, undefined, { ref: false }).then(() => resolve(exit)));
    });
    throwIfCancelled(signal);
    return isLate ? undefined : { code: code ?? 255, stdout, stderr };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new BakehouseError("SETUP_INCOMPLETE", "The program ssh is not installed", { hint: "apt-get install openssh-client" }, error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    if (input instanceof Readable) input.destroy();
  }
}

/** Seen with OpenSSH 9.2: what it leaves behind holds nothing, and both end together. This is for others. */
const AFTER_EXIT_MS = 2000;
