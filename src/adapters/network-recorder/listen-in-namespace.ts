import { spawn } from "node:child_process";
import { createServer, type AddressInfo, type Server } from "node:net";

/** Runs in the other namespace for a moment: opens the socket, hands it over, is killed (as long as it lives it takes connections as well). A socket stays in the namespace that it was made in. */
const OPEN_SOCKET = `
const server = require("node:net").createServer();
server.on("error", (error) => process.send({ error: error.message }, () => process.exit(1)));
server.listen({ host: "127.0.0.1", port: Number(process.argv[1]) }, () => process.send({ port: server.address().port }, server));
`;

export interface LocalServer {
  readonly server: Server;
  readonly port: number;
}

/**
 * A server of this process on 127.0.0.1 of another network namespace (of this process's own without a pid).
 *
 * @param port  0 for any that is free
 */
export async function listenInNamespace(namespacePid: number | undefined, port: number): Promise<LocalServer> {
  return namespacePid === undefined ? await listenHere(port) : await listenThere(namespacePid, port);
}

function listenHere(port: number): Promise<LocalServer> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port }, () => resolve({ server, port: (server.address() as AddressInfo).port }));
  });
}

function listenThere(namespacePid: number, port: number): Promise<LocalServer> {
  const child = spawn("nsenter", [`--net=/proc/${namespacePid}/ns/net`, "--", process.execPath, "--eval", OPEN_SOCKET, String(port)], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  let complaints = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  return new Promise((resolve, reject) => {
    let taken: LocalServer | undefined;
    let problem: string | undefined;
    child.once("error", reject);
    child.once("message", (message: { readonly port?: number; readonly error?: string }, handle) => {
      if (message.port === undefined) problem = message.error;
      else taken = { server: handle as Server, port: message.port };
      child.kill("SIGKILL");
    });
    child.once("close", (code) => {
      if (taken !== undefined) resolve(taken);
      else reject(new Error(`Cannot listen in the step's network namespace: ${problem ?? `exit code ${code}: ${complaints.trim()}`}`));
    });
  });
}
