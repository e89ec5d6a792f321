import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { getCACertificates, rootCertificates } from "node:tls";
import type { ProxyRequest } from "./proxy.ts";

/** Asks the real network on behalf of a command. */
export interface Upstream {
  fetch(request: ProxyRequest, url: URL, signal: AbortSignal): Promise<IncomingMessage>;
  close(): void;
}

/** A guess: long enough for a slow mirror, short enough that nobody thinks `lock` hangs. */
const IDLE_MS = 60_000;

/** Headers between neighbours (RFC 9110 §7.6.1), and those that would make the answer depend on what the client has already. */
const DROPPED = new Set([
  "connection",
  "proxy-connection",
  "proxy-authorization",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "content-length",
  "range",
  "if-range",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "accept-encoding",
  "host",
  "expect",
]);

/** @param trust  certificates of authorities, PEM, besides those that Node and the host trust */
export function createUpstream(trust: readonly string[]): Upstream {
  // Proxies and extra authorities of the host that locks are its own business.
  const http = new HttpAgent({ keepAlive: true, proxyEnv: process.env });
  const https = new HttpsAgent({
    keepAlive: true,
    proxyEnv: process.env,
    ca: [...rootCertificates, ...getCACertificates("system"), ...getCACertificates("extra"), ...trust],
  });
  return {
    fetch: (request, url, signal) =>
      new Promise((resolve, reject) => {
        const options = { method: request.method, headers: forwarded(request, url), signal, timeout: IDLE_MS };
        const outgoing =
          url.protocol === "https:" ? httpsRequest(url, { ...options, agent: https }) : httpRequest(url, { ...options, agent: http });
        outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer for ${IDLE_MS / 1000} s`)));
        outgoing.once("error", reject);
        outgoing.once("response", resolve);
        outgoing.end();
      }),
    close: () => {
      http.destroy();
      https.destroy();
    },
  };
}

function forwarded(request: ProxyRequest, url: URL): OutgoingHttpHeaders {
  const kept = Object.entries(request.headers).filter(([name]) => !DROPPED.has(name));
  const credentials =
    url.username === ""
      ? {}
      : {
          authorization: `Basic ${Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString("base64")}`,
        };
  return { ...credentials, ...Object.fromEntries(kept), "accept-encoding": "identity" };
}
