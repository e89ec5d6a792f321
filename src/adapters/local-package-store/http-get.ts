import { Agent as HttpAgent, get as httpGet, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, get as httpsGet } from "node:https";
import { loginFor, type Login } from "./netrc.ts";
import type { Proxies } from "./host-proxies.ts";

/** Keeps connections open for the next file. One for each downloader. */
export interface HttpClient {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
  readonly logins: readonly Login[];
  readonly silenceMs: number;
}

/** More than it downloads at once, so that nobody waits for a connection. */
const MAX_SOCKETS = 8;

export const httpClient = (options: {
  readonly proxies: Proxies;
  readonly logins: readonly Login[];
  readonly silenceMs: number;
}): HttpClient => {
  const settings = { keepAlive: true, maxSockets: MAX_SOCKETS, proxyEnv: options.proxies };
  return { http: new HttpAgent(settings), https: new HttpsAgent(settings), logins: options.logins, silenceMs: options.silenceMs };
};

const MAX_REDIRECTS = 5;

/** The answer to a GET after redirects, its body unread. Fails with a plain Error when nothing comes for `silenceMs`. */
export async function getFollowing(
  client: HttpClient,
  url: URL,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  let at = url;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await getOnce(client, at, headers, signal);
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(response.statusCode ?? 0) || location === undefined) return response;
    response.resume();
    at = new URL(location, at);
  }
  throw new Error(`more than ${MAX_REDIRECTS} redirects`);
}

function getOnce(client: HttpClient, url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage> {
  const login = loginFor(url, client.logins);
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  const options = {
    signal,
    timeout: client.silenceMs,
    headers: {
      ...headers,
      "accept-encoding": "identity", // digests are of the file, not of a compressed form of it
      "user-agent": "bakehouse",
      ...(login === undefined ? {} : { authorization: `Basic ${Buffer.from(login).toString("base64")}` }),
    },
  };
  return new Promise((resolve, reject) => {
    const request =
      bare.protocol === "https:"
        ? httpsGet(bare, { ...options, agent: client.https }, resolve)
        : httpGet(bare, { ...options, agent: client.http }, resolve);
    request.on("timeout", () => request.destroy(new Error(`silent for ${client.silenceMs / 1000} s`)));
    request.on("error", reject);
  });
}
