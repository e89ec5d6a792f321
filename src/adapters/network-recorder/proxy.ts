import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Server, Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Authority } from "./certificates.ts";

/** One request of a command, whichever way it came. */
export interface ProxyRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage["headers"];
}

export interface Proxy {
  /** Stops listening and ends every connection. */
  close(): Promise<void>;
}

export interface ProxyHandlers {
  /** Must answer, and must not throw. */
  onRequest(request: ProxyRequest, response: ServerResponse): Promise<void>;
  /** A tunnel broke before a request came: mostly a client that does not trust our authority. */
  onTunnelError(authority: string, error: Error): void;
}

/** An HTTP proxy (RFC 9110 §7.6, §9.3.6) that looks into TLS tunnels by answering for their hosts itself. */
export function startProxy(listener: Server, authority: Authority, handlers: ProxyHandlers): Proxy {
  const sockets = new Set<Socket>();
  /** Which tunnel a decrypted connection came through: `host:port`. */
  const tunnels = new WeakMap<object, string>();
  const http = createServer({ keepAlive: true, requestTimeout: 0 }, (request, response) => {
    response.sendDate = false; // the one header that would differ each time
    const url = urlOf(request, tunnels.get(request.socket));
    if (url === undefined) return void refuse(response, 400, "bakehouse: this is a proxy; ask it for absolute URLs\n");
    request.resume(); // bodies of requests are never looked at
    void handlers.onRequest({ method: request.method ?? "GET", url, headers: request.headers }, response);
  });
  http.on("connect", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const target = request.url ?? "";
    const host = target.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
    socket.on("error", () => socket.destroy());
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    if (head.length > 0) socket.unshift(head);
    const secure = new TLSSocket(socket, { isServer: true, secureContext: authority.contextFor(host), ALPNProtocols: ["http/1.1"] });
    tunnels.set(secure, target);
    secure.once("error", (error) => {
      handlers.onTunnelError(target, error);
      secure.destroy();
    });
    http.emit("connection", secure);
  });
  http.on("clientError", (_error: Error, socket: Socket) => socket.destroy());
  listener.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    http.emit("connection", socket);
  });
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function urlOf(request: IncomingMessage, tunnel: string | undefined): URL | undefined {
  const asked = request.url ?? "";
  const text = tunnel !== undefined && asked.startsWith("/") ? `https://${tunnel}${asked}` : asked;
  return /^https?:\/\//i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
}

export function refuse(response: ServerResponse, status: number, text: string): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "content-length": Buffer.byteLength(text) });
  response.end(text);
}
