import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import type { FleetHealth } from "../../core/fleet/model.ts";
import { startTimeOf } from "../local-store/owners.ts";

/**
 * HAProxy before the instances of one fleet. It is started with none; each is added, drained and removed by its runtime API
 * (management.txt of HAProxy 2.6, section 9.3), so that it is never loaded again while it serves. What it forgets when it is
 * killed, `sync` gives it again.
 *
 *     <folder>/haproxy.cfg    written before it is started
 *     <folder>/haproxy.json   { pid, startTime } of the process, by whoever started it
 *     <folder>/admin.sock     the runtime API
 */
export interface Balancer {
  /** Starts it where it does not run. @returns whether it had to be started */
  ensureRunning(): Promise<boolean>;
  servers(): Promise<readonly BalancedServer[]>;
  /** Adds what is missing; what is there stays as it is. It takes requests once its health was looked at. */
  add(server: { readonly id: string; readonly port: number; readonly weight?: number }): Promise<void>;
  weigh(id: string, weight: number): Promise<void>;
  /** No new requests. @returns whether those that it had were done before the deadline */
  drain(id: string, deadlineMs: number): Promise<boolean>;
  remove(id: string): Promise<void>;
  stop(): Promise<void>;
}

export interface BalancedServer {
  readonly id: string;
  readonly port: number;
  readonly weight: number;
  readonly health: "healthy" | "unhealthy" | "unknown";
  readonly serving: boolean;
  readonly sessions: number;
}

export interface BalancerOptions {
  readonly folder: string;
  readonly listen: number;
  readonly health: FleetHealth;
}

export function haproxy({ folder, listen, health }: BalancerOptions): Balancer {
  const ask = (line: string): Promise<string> => askSocket(join(folder, "admin.sock"), line);
  /** An empty answer is its yes. */
  const tell = async (line: string, accept = /^(?:New server registered\.|Server deleted\.)?\s*$/): Promise<void> => {
    const answered = await ask(line);
    if (!accept.test(answered)) throw new Error(`HAProxy answers ${JSON.stringify(line)} with: ${answered.trim()}`);
  };
  const servers = async (): Promise<readonly BalancedServer[]> => serversIn(await ask("show stat"));
  const one = async (id: string): Promise<BalancedServer | undefined> => (await servers()).find((server) => server.id === id);
  return {
    ensureRunning: async () => {
      if (isRunning(folder)) return false;
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileSync(join(folder, "haproxy.cfg"), configuration(listen, health), { mode: 0o600 });
      await promisify(execFile)("haproxy", ["-D", "-C", folder, "-f", "haproxy.cfg", "-p", "haproxy.pid"], { cwd: folder });
      const pid = Number(readFileSync(join(folder, "haproxy.pid"), "utf8"));
      writeFileSync(join(folder, "haproxy.json"), JSON.stringify({ pid, startTime: startTimeOf(pid) }));
      return true;
    },
    servers,
    add: async ({ id, port, weight = 100 }) => {
      if ((await one(id)) !== undefined) return;
      const { intervalMs, healthyAfter, unhealthyAfter } = health;
      const check = `check inter ${intervalMs}ms rise ${healthyAfter} fall ${unhealthyAfter} observe layer7 error-limit ${unhealthyAfter} on-error mark-down`;
      await tell(`add server instances/${id} 127.0.0.1:${port} weight ${weight} ${check}`);
      await tell(`set server instances/${id} health down`); // unknown is not healthy
      await tell(`enable health instances/${id}`);
      await tell(`enable server instances/${id}`);
    },
    weigh: (id, weight) => tell(`set server instances/${id} weight ${weight}`),
    drain: async (id, deadlineMs) => {
      await tell(`set server instances/${id} state drain`);
      for (const end = performance.now() + deadlineMs; ; await new Promise((go) => setTimeout(go, POLL_MS))) {
        const server = await one(id);
        if (server === undefined || server.sessions === 0) return true;
        if (performance.now() > end) return false;
      }
    },
    remove: async (id) => {
      if ((await one(id)) === undefined) return;
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
      const running = isRunning(folder);
      if (running === undefined) return;
      process.kill(running, "SIGTERM");
      for (const end = performance.now() + REMOVE_MS; isRunning(folder) !== undefined; await new Promise((go) => setTimeout(go, POLL_MS)))
        if (performance.now() > end) process.kill(running, "SIGKILL");
    },
  };
}

const POLL_MS = 20;
/** A guess; seen: at once when nothing is kept. */
const REMOVE_MS = 5000;

function configuration(listen: number, { probe, timeoutMs }: FleetHealth): string {
  const check = probe.kind === "http" ? [`option httpchk GET ${probe.path}`, "http-check expect rstatus ^[23]"] : [];
  return `global
  stats socket unix@admin.sock mode 600 level admin
  maxconn 4000
defaults
  mode http
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

function isRunning(folder: string): number | undefined {
  try {
    const { pid, startTime } = JSON.parse(readFileSync(join(folder, "haproxy.json"), "utf8")) as { pid: number; startTime: number };
    return startTimeOf(pid) === startTime ? pid : undefined;
  } catch {
    return undefined;
  }
}

async function askSocket(path: string, line: string): Promise<string> {
  const socket = connect(path);
  socket.end(`${line}\n`);
  return text(socket);
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
      const up = row["check_status"]?.replace("* ", "") ?? "";
      return {
        id: row["svname"] ?? "",
        port: Number((row["addr"] ?? "").split(":").at(-1)),
        weight: Number(row["weight"]),
        health:
          up === "" || up === "INI" || up === "UNK"
            ? "unknown"
            : /^L[4-7]OKC?$/.test(up) && !status.startsWith("DOWN")
              ? "healthy"
              : "unhealthy",
        serving: status.startsWith("UP"),
        sessions: Number(row["scur"]),
      };
    });
}
