import { request } from "node:http";
import { connect } from "node:net";
import type { FleetHealth, FleetProbe, SshHost } from "../../core/fleet/model.ts";
import type { SshConnection } from "./connection.ts";
import type { Look } from "./looks.ts";
import { PROGRAM } from "./scripts.ts";

/** One look at a machine: from this host where it is a port, else by a program there. */
export async function lookAt(host: SshHost, connection: SshConnection, { probe, timeoutMs }: FleetHealth): Promise<Look> {
  try {
    switch (probe.kind) {
      case "http": {
        const { status } = await httpGet(host.address, { ...probe, timeoutMs });
        return status >= 200 && status < 400 ? { good: true } : bad(`${nameOf(probe)} answers ${status}`);
      }
      case "tcp":
        await accepts(host.address, probe.port, timeoutMs);
        return { good: true };
      case "command": {
        const { code, stderr, stdout } = await connection.run(PROGRAM, probe.argv, { timeoutMs, isLook: true });
        const said = (stderr.trim() === "" ? stdout : stderr).trim().split("\n").at(-1) ?? "";
        return code === 0 ? { good: true } : bad(`${nameOf(probe)} ended with ${code}${said === "" ? "" : `: ${said}`}`);
      }
    }
  } catch (error) {
    if (error instanceof Error) return bad(`${nameOf(probe)}: ${error.message}`);
    throw error;
  }
}

const nameOf = (probe: FleetProbe): string =>
  probe.kind === "command" ? probe.argv.join(" ") : `${probe.kind} :${probe.port}${probe.kind === "http" ? probe.path : ""}`;

const bad = (why: string): Look => ({ good: false, why });

function accepts(address: string, port: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    socket.once("connect", () => (socket.destroy(), resolve()));
    socket.once("timeout", () => (socket.destroy(), reject(new Error(`nothing answers within ${timeoutMs} ms`))));
    socket.once("error", reject);
  });
}

/** Longest answer that is kept; more is read and dropped. */
const BODY_AT_MOST = 1_000_000;

/** Redirects are not followed, and the connection is not kept. @throws Error when nothing answers in time */
export function httpGet(
  address: string,
  { port, path, timeoutMs }: { readonly port: number; readonly path: string; readonly timeoutMs: number },
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port, path, agent: false, headers: { connection: "close" } }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body = (body + text).slice(0, BODY_AT_MOST)));
      response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
      response.once("error", reject);
    });
    const timer = setTimeout(() => asked.destroy(new Error(`nothing answers within ${timeoutMs} ms`)), timeoutMs);
    asked.once("close", () => clearTimeout(timer));
    asked.once("error", reject);
    asked.end();
  });
}
