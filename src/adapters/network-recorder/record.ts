import type { IncomingMessage, ServerResponse } from "node:http";
import { once } from "node:events";
import { BakehouseError } from "../../core/errors.ts";
import type { RecordedResponse } from "../../core/lock/model.ts";
import type { NetworkRequest } from "../../ports/network-recorder.ts";
import type { Addresses } from "./addresses.ts";
import type { BodyStore } from "./body-store.ts";
import { refuse, type ProxyRequest } from "./proxy.ts";
import { keptHeaders, serveRecorded } from "./serve-recorded.ts";
import type { Upstream } from "./upstream.ts";

/** What `lock` learns from one run of a step: every answer, in the form in which a bake will get it. */
export class Recording {
  private readonly request: NetworkRequest;
  private readonly addresses: Addresses;
  private readonly bodies: BodyStore;
  private readonly upstream: Upstream;
  private readonly ended = new AbortController();
  private readonly answers = new Map<string, RecordedResponse>();
  private readonly pending = new Map<string, Promise<unknown>>();
  /** Requests that no bake could answer. */
  private readonly refused = new Set<string>();
  /** URL → why there was no answer the last time. */
  private readonly failed = new Map<string, string>();

  constructor(parts: {
    readonly request: NetworkRequest;
    readonly addresses: Addresses;
    readonly bodies: BodyStore;
    readonly upstream: Upstream;
  }) {
    this.request = parts.request;
    this.addresses = parts.addresses;
    this.bodies = parts.bodies;
    this.upstream = parts.upstream;
  }

  async answer(request: ProxyRequest, response: ServerResponse): Promise<void> {
    if (request.method !== "GET" && request.method !== "HEAD") {
      this.refused.add(`${request.method} ${this.addresses.lockUrl(request.url)}`);
      return refuse(response, 502, `bakehouse: ${request.method} cannot be recorded: only GET and HEAD have the same answer each time\n`);
    }
    const url = this.addresses.lockUrl(request.url);
    const key = `${request.method} ${url}`;
    await this.pending.get(key)?.catch(() => undefined); // the same question twice at once is asked once
    const known = this.answers.get(key);
    if (known !== undefined) return serveRecorded(request, response, known, this.bodies.path(known.sha256));
    const work = this.ask(request, response, url, key);
    this.pending.set(key, work);
    try {
      await work;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.failed.set(key, reason);
      this.request.log(`network: ${key}: ${reason}`);
      refuse(response, 502, `bakehouse: ${key}: ${reason}\n`);
    } finally {
      this.pending.delete(key);
    }
  }

  private async ask(request: ProxyRequest, response: ServerResponse, url: string, key: string): Promise<void> {
    const real = this.addresses.realUrl(request.url);
    if (real === undefined) throw new Error("no mirror has this name");
    const incoming = await this.upstream.fetch(request, real, AbortSignal.any([this.request.signal, this.ended.signal]));
    const status = incoming.statusCode ?? 502;
    if (status >= 500) {
      incoming.resume();
      throw new Error(`the server answered ${status}`);
    }
    const headers = { ...keptHeaders(incoming.headers), ...(request.method === "HEAD" ? lengthOf(incoming) : {}) };
    // A client that wants a part gets it when the whole has come.
    const direct = request.method === "GET" && request.headers.range === undefined && status !== 204 && status !== 304;
    if (direct) response.writeHead(status, { ...headers, ...(status === 200 ? { "accept-ranges": "bytes" } : {}), ...lengthOf(incoming) });
    const body = await this.bodies.add(
      incoming as AsyncIterable<Buffer>,
      direct ? (chunk) => writeTo(response, chunk) : async () => undefined,
    );
    const recorded: RecordedResponse = { method: request.method, url, status, headers, ...body };
    this.answers.set(key, recorded);
    this.failed.delete(key);
    this.request.log(`network: recorded ${key} (${status}, ${body.sizeBytes} bytes)`);
    if (direct) response.end();
    else await serveRecorded(request, response, recorded, this.bodies.path(body.sha256));
  }

  /** A client has its answer, or has gone, before the answer is safely kept. What does not end by itself counts as no answer. */
  async settle(): Promise<void> {
    const timer = setTimeout(() => this.ended.abort(), SETTLE_MS);
    await Promise.allSettled(this.pending.values());
    clearTimeout(timer);
  }

  /** @throws see RecordingSession.close */
  finish(): readonly RecordedResponse[] {
    const { address } = this.request;
    if (this.refused.size > 0) {
      throw new BakehouseError("NETWORK_REFUSED", `${address}: requests that no bake could replay:${list(this.refused)}`, {
        hint: "only GET and HEAD are recorded; do without these requests, or set `network: true` and accept an image that is not hermetic",
        details: { step: address, refused: [...this.refused] },
      });
    }
    if (this.failed.size > 0) {
      throw new BakehouseError(
        "MIRROR_UNAVAILABLE",
        `${address}: no answer from:${list([...this.failed].map(([key, reason]) => `${key} (${reason})`))}`,
        {
          hint: "lock again when they answer: a bake has to get the same as this run",
          details: { step: address, failed: [...this.failed.keys()] },
        },
      );
    }
    return [...this.answers.values()].sort((a, b) => (a.url < b.url ? -1 : a.url > b.url ? 1 : a.method < b.method ? -1 : 1));
  }
}

/** A guess: how long a download may go on that the step has started and not waited for. */
const SETTLE_MS = 60_000;

const lengthOf = (incoming: IncomingMessage): Readonly<Record<string, string>> => {
  const length = incoming.headers["content-length"];
  return length === undefined ? {} : { "content-length": length };
};

/** Waits for a slow client; one that is gone does not end the recording, since it will be gone in a bake as well. */
async function writeTo(response: ServerResponse, chunk: Buffer): Promise<void> {
  if (response.destroyed || response.write(chunk)) return;
  const waiting = new AbortController();
  await Promise.race([once(response, "drain", { signal: waiting.signal }), once(response, "close", { signal: waiting.signal })]).catch(
    () => undefined,
  );
  waiting.abort();
}

export const list = (items: Iterable<string>): string =>
  [...items]
    .sort()
    .map((item) => `\n  ${item}`)
    .join("");
