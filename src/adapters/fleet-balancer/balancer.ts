import { execFile } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { BakehouseError } from "../../core/errors.ts";
import type { InstanceHealth } from "../../core/fleet/instance.ts";
import type { FleetHealth } from "../../core/fleet/model.ts";

/**
 * HAProxy before the instances of one fleet. It is started with none; each is added, drained and removed by its runtime API
 * (management.txt of HAProxy 2.6, section 9.3), so that it is never loaded again while it serves. What it forgets when it is
 * killed, whoever started it again gives it again.
 *
 *     <folder>/haproxy.cfg    written before it is started
 *     <folder>/haproxy.pid    by itself
 *     <folder>/admin.sock     the runtime API
 */
export interface Balancer {
  /** Starts it where it does not run. @returns whether it had to be started @throws RESOURCE_BUSY when the port is taken */
  ensureRunning(): Promise<boolean>;
  servers(): Promise<readonly BalancedServer[]>;
  /** Adds it or changes its weight; it takes requests once its health was looked at. With the weight 0 it is only looked at. */
  admit(server: BalancerServer): Promise<void>;
  /** It takes no requests until it was looked at again. */
  forgetHealth(id: string): Promise<void>;
  /** No new requests. @returns whether those that it had were done before the deadline */
  drain(id: string, deadlineMs: number): Promise<boolean>;
  remove(id: string): Promise<void>;
  stop(): Promise<void>;
}

export interface BalancerServer {
  readonly id: string;
  readonly port: number;
  /** Where its health is asked for; default `port`. */
  readonly probePort?: number;
  /** 0–256. */
  readonly weight: number;
}

export interface BalancedServer {
  readonly id: string;
  readonly port: number;
  readonly weight: number;
  readonly health: InstanceHealth;
  /** What the last look found: `L7STS 503`. */
  readonly seen: string;
  readonly serving: boolean;
  readonly sessions: number;
}

export interface BalancerOptions {
  readonly folder: string;
  readonly listen: number;
  readonly health: FleetHealth;
}

export function haproxy({ folder, listen, health }: BalancerOptions): Balancer {
  let last: Promise<unknown> = Promise.resolve();
  /** One at a time: HAProxy takes only a few connections at once, and many instances may end together (seen with 16: EAGAIN). */
  const ask = (line: string): Promise<string> => {
    const answer = last.then(() => askSocket(folder, line));
    last = answer.catch(() => undefined);
    return answer;
  };
  /** An empty answer is its yes. */
  const tell = async (line: string, accept = /^(?:New server registered\.|Server deleted\.)?\s*$/): Promise<void> => {
    const answered = await ask(line);
    if (!accept.test(answered)) throw new Error(`HAProxy answers ${JSON.stringify(line)} with: ${answered.trim()}`);
  };
  const servers = async (): Promise<readonly BalancedServer[]> => serversIn(await ask("show stat"));
  const one = async (id: string): Promise<BalancedServer | undefined> => (await servers()).find((server) => server.id === id);
  return {
    ensureRunning: async () => {
      if (runningIn(folder) !== undefined) return false;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(join(folder, "haproxy.cfg"), configuration(listen, health), { mode: 0o600 });
      try {
        await promisify(execFile)("haproxy", ["-D", "-C", folder, "-f", "haproxy.cfg", "-p", "haproxy.pid"], { cwd: folder });
      } catch (error) {
        throw startProblem(error, listen);
      }
      return true;
    },
    servers,
    admit: async ({ id, port, probePort = port, weight }) => {
      const there = await one(id);
      if (there === undefined) {
        const { intervalMs, healthyAfter, unhealthyAfter } = health;
        const pace = `inter ${intervalMs}ms fastinter ${Math.min(intervalMs, FAST_MS)}ms downinter ${Math.min(intervalMs, FAST_MS)}ms`;
        const check = `check port ${probePort} ${pace} rise ${healthyAfter} fall ${unhealthyAfter} observe layer7 error-limit ${unhealthyAfter} on-error mark-down`;
        await tell(`add server instances/${id} 127.0.0.1:${port} weight 0 ${check}`);
        await tell(`enable health instances/${id}`);
        // HAProxy takes whatever leaves maintenance for healthy until its first look: so it gets its weight after it was told otherwise
        await tell(`enable server instances/${id}`);
        await tell(`set server instances/${id} health down`);
        await tell(`set server instances/${id} weight ${weight}`);
        return;
      }
      if (there.weight !== weight) await tell(`set server instances/${id} weight ${weight}`);
      await tell(`set server instances/${id} state ready`);
    },
    forgetHealth: async (id) => {
      if ((await one(id)) !== undefined) await tell(`set server instances/${id} health down`);
    },
    drain: async (id, deadlineMs) => {
      if ((await one(id)) === undefined) return true;
      await tell(`set server instances/${id} state drain`);
      // twice in a row: another thread may have chosen it just before, and counts that a moment later (seen: 1 of 5,000 requests cut off)
      let idle = 0;
      for (const end = performance.now() + deadlineMs; ; await new Promise((go) => setTimeout(go, POLL_MS))) {
        const server = await one(id);
        if (server === undefined) return true;
        idle = server.sessions === 0 ? idle + 1 : 0;
        if (idle > 1) return true;
        if (performance.now() > end) return false;
      }
    },
    remove: async (id) => {
      if (runningIn(folder) === undefined || (await one(id)) === undefined) return;
      await tell(`set server instances/${id} state maint`);
      await ask(`shutdown sessions server instances/${id}`);
      // connections that are kept for later hold it for a moment
      for (const end = performance.now() + REMOVE_MS; ; await new Promise((go) => setTimeout(go, POLL_MS))) {
        const answered = await ask(`del server instances/${id}`);
        if (/deleted/.test(answered) || (await one(id)) === undefined) return;
        if (performance.now() > end) throw new Error(`HAProxy does not let go of ${id}: ${answered.trim()}`);
      }
    },
    stop: async () => {
      const running = runningIn(folder);
      if (running === undefined) return;
      process.kill(running, "SIGTERM");
      for (const end = performance.now() + REMOVE_MS; runningIn(folder) !== undefined; await new Promise((go) => setTimeout(go, POLL_MS)))
        if (performance.now() > end) process.kill(running, "SIGKILL");
    },
  };
}

const POLL_MS = 20;
/** A guess; seen: at once when nothing is kept. */
const REMOVE_MS = 5000;
/** Between two looks at what is not up, or about to go down: one that came up should not wait for the pace of those that are well. */
const FAST_MS = 50;

/**
 * `http-server-close`: a connection that is kept for a client's next request outlives the server that it leads to, and HAProxy 2.6 has given
 * it to another that was added in its place (seen twice in tests). `noreuseport`: else two of them would share a
 * port without a word, and each gets half of the requests.
 */
function configuration(listen: number, { probe, timeoutMs }: FleetHealth): string {
  const check = probe.kind === "http" ? [`option httpchk GET ${probe.path}`, "http-check expect rstatus ^[23]"] : [];
  return `global
  stats socket unix@admin.sock mode 600 level admin
  maxconn 4000
  noreuseport
defaults
  mode http
  option http-server-close
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout check ${timeoutMs}ms
  retries 3
  retry-on conn-failure empty-response
  option redispatch 1
frontend front
  bind 127.0.0.1:${listen}
  default_backend instances
backend instances
  balance roundrobin
  http-reuse never
${check.map((line) => `  ${line}\n`).join("")}`;
}

function startProblem(error: unknown, listen: number): unknown {
  const { code, stderr = "" } = error as { readonly code?: unknown; readonly stderr?: string };
  if (code === "ENOENT")
    return new BakehouseError("SETUP_INCOMPLETE", "A fleet with traffic needs HAProxy, which is not installed", {
      hint: "apt-get install haproxy",
    });
  if (/cannot bind|already in use/i.test(stderr))
    return new BakehouseError("RESOURCE_BUSY", `Port ${listen} of this machine is in use, and the fleet's load balancer listens there`, {
      hint: `another port in traffic.listen of the recipe; \`ss -tlnp sport = :${listen}\` shows who has it`,
    });
  return new Error(`HAProxy does not start: ${stderr.trim()}`, { cause: error });
}

/** The process, if it is the one of this folder: a number alone could be somebody else's by now. */
function runningIn(folder: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(folder, "haproxy.pid"), "utf8").split("\n")[0]);
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words[0]?.endsWith("haproxy") === true && words.includes(folder) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** By way of an open folder: a socket's path has at most 107 bytes (unix(7)), that of a store may have more. */
async function askSocket(folder: string, line: string): Promise<string> {
  const directory = openSync(folder, "r");
  try {
    const socket = connect(`/proc/self/fd/${directory}/admin.sock`);
    socket.end(`${line}\n`);
    return await text(socket);
  } finally {
    closeSync(directory);
  }
}

/** `show stat`: CSV with its names in the first line. */
function serversIn(csv: string): readonly BalancedServer[] {
  const [head = "", ...rows] = csv.trim().split("\n");
  const names = head.replace(/^# /, "").split(",");
  return rows
    .map((row) => Object.fromEntries(row.split(",").map((value, index) => [names[index] ?? "", value])))
    .filter((row) => row["pxname"] === "instances" && row["type"] === "2")
    .map((row) => {
      const status = row["status"] ?? "";
      const check = row["check_status"]?.replace("* ", "") ?? "";
      const weight = Number(row["weight"]);
      return {
        id: row["svname"] ?? "",
        port: Number((row["addr"] ?? "").split(":").at(-1)),
        weight,
        health: healthOf(check, status),
        seen: [check, row["check_code"], row["last_chk"]].filter((word) => word !== undefined && word !== "").join(" "),
        serving: status.startsWith("UP") && weight > 0,
        sessions: Number(row["scur"]),
      };
    });
}

function healthOf(check: string, status: string): InstanceHealth {
  if (check === "" || check === "INI" || check === "UNK") return "unknown";
  return /^L[4-7]OKC?$/.test(check) && !status.startsWith("DOWN") ? "healthy" : "unhealthy";
}
