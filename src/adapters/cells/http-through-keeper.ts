import { request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import type { Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Cell } from "../../ports/cells.ts";
import { connectThroughKeeper } from "./keeper.ts";

/** Bytes of a body that are read. */
const BODY_AT_MOST = 16 * 1024 * 1024;

/** One HTTP request over a connection that the keeper makes in the network beside the cell: the URL's host is only what `Host` says. */
export const httpThroughKeeper =
  (keeperPid: () => number): Cell["http"] =>
  async ({ url: text, method = "GET", headers = {}, timeoutMs }) => {
    const url = new URL(text);
    const isTls = url.protocol === "https:";
    const port = Number(url.port || (isTls ? 443 : 80));
    const startedAt = performance.now();
    const connection = await connectThroughKeeper(keeperPid(), port, timeoutMs);
    if (typeof connection === "string") throw new Error(`${connection} (port ${port} of the cell)`);
    const socket = isTls ? await secured(connection, url.hostname) : connection;
    const left = Math.max(1, timeoutMs - (performance.now() - startedAt));
    const timer = setTimeout(() => socket.destroy(new Error(`no answer from ${text} within ${timeoutMs} ms`)), left);
    try {
      const response = await send(url, { method, headers: { ...headers, connection: "close" }, createConnection: () => socket });
      response.on(
        "data",
        countTo(BODY_AT_MOST, () => socket.destroy(new Error(`${text} answers with more than ${BODY_AT_MOST} bytes`))),
      );
      const body = (await buffer(response)).toString("utf8");
      return {
        status: response.statusCode ?? 0,
        headers: Object.fromEntries(Object.entries(response.headers).map(([name, value]) => [name, [value].flat().join(", ")])),
        body,
        durationMs: Math.round(performance.now() - startedAt),
      };
    } finally {
      clearTimeout(timer);
      socket.destroy();
    }
  };

const send = (url: URL, options: RequestOptions): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    // always the plain kind: the socket is secured already, if it has to be
    const plain = new URL(url.href.replace(/^https:/, "http:"));
    const request = httpRequest(plain, { ...options, headers: { host: url.host, ...options.headers } }, resolve);
    request.once("error", reject);
    request.end();
  });

/** Whoever the certificate names: the machine is the one that was asked, there is no other in this network. */
async function secured(socket: Socket, servername: string): Promise<Socket> {
  const { connect } = await import("node:tls");
  return new Promise((resolve, reject) => {
    const secure = connect({ socket, servername, rejectUnauthorized: false }, () => resolve(secure));
    secure.once("error", reject);
  });
}

function countTo(limit: number, onTooMany: () => void): (chunk: Buffer) => void {
  let count = 0;
  return (chunk) => {
    count += chunk.length;
    if (count > limit) onTooMany();
  };
}
