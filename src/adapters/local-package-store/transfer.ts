import { createHash, type Hash } from "node:crypto";
import { closeSync, createReadStream, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { withoutLogin } from "../../core/debian/sources.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { Transfer, TransferRequest } from "../../ports/transfer.ts";
import { storeError } from "../local-store/files.ts";
import { hostProxies } from "./host-proxies.ts";
import { getFollowing, httpClient, type HttpClient } from "./http-get.ts";
import { hostLogins } from "./netrc.ts";

export interface TransferOptions {
  /** For proxies; default the process's. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** How often one URL is tried; default 4. */
  readonly attempts?: number;
  /** Pause before the second try, doubled for each further one; default 500 ms. */
  readonly backoffMs?: number;
  /** How long a server may say nothing, in ms; default 30 s. There is no limit to the whole, as long as bytes come. */
  readonly silenceMs?: number;
}

/** Why one URL gave nothing. */
type Failure =
  | { readonly kind: "missing" }
  | { readonly kind: "mismatch"; readonly message: string }
  | { readonly kind: "broken"; readonly message: string; readonly attempts: number };

/** Downloads over http, https and from files. Proxies and logins are those of the environment or of the host's apt. */
export function createTransfer(options: TransferOptions = {}): Transfer {
  const attempts = options.attempts ?? 4;
  const backoffMs = options.backoffMs ?? 500;
  let client: HttpClient | undefined;
  const getClient = (): HttpClient =>
    (client ??= httpClient({
      proxies: hostProxies(options.environment ?? process.env),
      logins: hostLogins(),
      silenceMs: options.silenceMs ?? 30_000,
    }));

  return {
    async download(request) {
      const failures: { readonly url: string; readonly failure: Failure }[] = [];
      const sink = openSink(request);
      try {
        for (const url of request.urls) {
          const failure = url.startsWith("file:")
            ? await copyFile(url, sink, request)
            : await fetchWithRetries(getClient(), url, sink, request, { attempts, backoffMs });
          if (failure === undefined) return { sizeBytes: sink.position, missing: false };
          failures.push({ url, failure });
          sink.restart();
        }
      } catch (error) {
        rmSync(request.target, { force: true });
        throw request.signal.aborted ? cancelled(request, error) : error;
      } finally {
        sink.close();
      }
      rmSync(request.target, { force: true });
      if (failures.every(({ failure }) => failure.kind === "missing")) return { sizeBytes: 0, missing: true };
      throw transferError(request, failures);
    },
  };
}

const cancelled = (request: TransferRequest, cause: unknown): BakehouseError =>
  new BakehouseError("CANCELLED", `Stopped while fetching ${request.what}`, {}, cause);

/** A wrong digest weighs more than a mirror that is down: somebody may be at work there. */
function transferError(request: TransferRequest, failures: readonly { readonly url: string; readonly failure: Failure }[]): BakehouseError {
  const wrong = failures.find(({ failure }) => failure.kind === "mismatch");
  const broken = failures.find(({ failure }) => failure.kind === "broken");
  const details = { what: request.what, urls: failures.map(({ url }) => withoutLogin(url)) };
  if (wrong?.failure.kind === "mismatch") {
    const hint = "the mirror is damaged or was updated in the middle: try again later, or another mirror with BAKEHOUSE_MIRROR=URL";
    return new BakehouseError("DIGEST_MISMATCH", `${request.what} from ${withoutLogin(wrong.url)}: ${wrong.failure.message}`, {
      hint,
      details,
    });
  }
  const { message, attempts } = broken?.failure.kind === "broken" ? broken.failure : { message: "gave nothing", attempts: 1 };
  const tried = attempts === 1 ? "tried once" : `tried ${attempts} times`;
  const hint = "check the network (bakehouse doctor), or name another mirror with BAKEHOUSE_MIRROR=URL; what came in so far is kept";
  return new BakehouseError(
    "MIRROR_UNAVAILABLE",
    `Cannot fetch ${request.what} from ${withoutLogin(broken?.url ?? request.urls[0] ?? "")}: ${message} (${tried})`,
    { hint, details },
  );
}

/** The file that is being written, and the digest of what is in it so far. */
interface Sink {
  readonly position: number;
  write(chunk: Buffer): void;
  restart(): void;
  /** What is wrong with what came in, if anything is. */
  check(): string | undefined;
  close(): void;
}

function openSink(request: TransferRequest): Sink {
  const fd = open(request.target);
  let hash: Hash = createHash("sha256");
  let position = 0;
  const limit = request.expected?.sizeBytes;
  return {
    get position() {
      return position;
    },
    write(chunk) {
      try {
        for (let done = 0; done < chunk.length;) done += writeSync(fd, chunk, done);
      } catch (error) {
        throw storeError(error, request.target);
      }
      if (request.expected !== undefined) hash.update(chunk);
      position += chunk.length;
      request.onBytes?.(position);
      if (limit !== undefined && position > limit) throw new Mismatch(`is longer than the ${limit} bytes it should have`);
    },
    restart() {
      if (position === 0) return;
      ftruncateSync(fd, 0);
      // writeSync without a position goes on at the descriptor's own; O_APPEND makes that the new end.
      hash = createHash("sha256");
      position = 0;
      request.onBytes?.(0);
    },
    check() {
      if (request.expected === undefined) return undefined;
      const { sha256, sizeBytes } = request.expected;
      if (sizeBytes !== undefined && position !== sizeBytes) return `has ${position} bytes instead of ${sizeBytes}`;
      const found = `sha256:${hash.copy().digest("hex")}`;
      return found === sha256 ? undefined : `has the digest ${found} instead of ${sha256}`;
    },
    close: () => closeSync(fd),
  };
}

function open(target: string): number {
  try {
    return openSync(target, "ax", 0o644);
  } catch (error) {
    throw storeError(error, target);
  }
}

class Mismatch extends Error {}

async function copyFile(url: string, sink: Sink, request: TransferRequest): Promise<Failure | undefined> {
  try {
    for await (const chunk of createReadStream(fileURLToPath(url), { signal: request.signal, highWaterMark: 1 << 20 }))
      sink.write(chunk as Buffer);
  } catch (error) {
    if (request.signal.aborted || error instanceof BakehouseError) throw error;
    if (error instanceof Mismatch) return { kind: "mismatch", message: error.message };
    const { code, message } = error as NodeJS.ErrnoException;
    return code === "ENOENT" || code === "ENOTDIR" ? { kind: "missing" } : { kind: "broken", message, attempts: 1 };
  }
  return mismatch(sink);
}

const mismatch = (sink: Sink): Failure | undefined => {
  const message = sink.check();
  return message === undefined ? undefined : { kind: "mismatch", message };
};

async function fetchWithRetries(
  client: HttpClient,
  url: string,
  sink: Sink,
  request: TransferRequest,
  limits: { readonly attempts: number; readonly backoffMs: number },
): Promise<Failure | undefined> {
  let validator: string | undefined;
  let failure = "gave nothing";
  for (let attempt = 1; attempt <= limits.attempts; attempt++) {
    if (attempt > 1) await sleep(limits.backoffMs * 2 ** (attempt - 2), undefined, { signal: request.signal });
    try {
      const outcome = await fetchRest(client, url, sink, request.signal, validator);
      if (outcome.kind === "missing") return outcome;
      if (outcome.kind === "refused") return { kind: "broken", message: outcome.message, attempts: attempt };
      return mismatch(sink);
    } catch (error) {
      if (request.signal.aborted || error instanceof BakehouseError) throw error;
      if (error instanceof Mismatch) return { kind: "mismatch", message: error.message };
      if (error instanceof Broken) validator = error.validator ?? validator;
      failure = explain(error);
    }
  }
  return { kind: "broken", message: failure, attempts: limits.attempts };
}

/** A try that may be made again. `validator`: the ETag or date of what came in, for `If-Range`. */
class Broken extends Error {
  readonly validator: string | undefined;
  constructor(message: string, validator?: string) {
    super(message);
    this.validator = validator;
  }
}

type Outcome = { readonly kind: "done" } | { readonly kind: "missing" } | { readonly kind: "refused"; readonly message: string };

/** Fetches what the sink lacks: all of it, or the rest after a connection broke off. */
async function fetchRest(
  client: HttpClient,
  url: string,
  sink: Sink,
  signal: AbortSignal,
  validator: string | undefined,
): Promise<Outcome> {
  const range =
    sink.position === 0 ? {} : { range: `bytes=${sink.position}-`, ...(validator === undefined ? {} : { "if-range": validator }) };
  const response = await getFollowing(client, new URL(url), range, signal);
  const status = response.statusCode ?? 0;
  if (status !== 200 && status !== 206) response.resume();
  if (status === 404 || status === 410 || status === 403) return { kind: "missing" };
  if (status === 416) {
    sink.restart();
    throw new Broken("does not have the rest of what it began");
  }
  if (status === 408 || status === 429 || status >= 500) throw new Broken(`answers ${status} ${response.statusMessage ?? ""}`.trim());
  if (status !== 200 && status !== 206) return { kind: "refused", message: `answers ${status} ${response.statusMessage ?? ""}`.trim() };
  const goesOn = status === 206 && response.headers["content-range"]?.startsWith(`bytes ${sink.position}-`) === true;
  if (!goesOn) sink.restart();
  await readBody(response, sink);
  return { kind: "done" };
}

async function readBody(response: IncomingMessage, sink: Sink): Promise<void> {
  const { etag, "last-modified": modified } = response.headers;
  const validator = etag !== undefined && !etag.startsWith("W/") ? etag : modified;
  try {
    for await (const chunk of response) sink.write(chunk as Buffer);
  } catch (error) {
    if (error instanceof BakehouseError || error instanceof Mismatch) throw error;
    throw new Broken(explain(error), validator);
  }
  if (!response.complete) throw new Broken("broke off in the middle", validator);
}

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection is refused",
  ECONNRESET: "broke off in the middle",
  ENOTFOUND: "there is no host of that name",
  EAI_AGAIN: "the host's name cannot be looked up now",
  ENETUNREACH: "there is no route to it",
  EHOSTUNREACH: "there is no route to it",
  ETIMEDOUT: "it does not answer",
};

/** The cause in words; Node wraps several failed addresses in one AggregateError without a message. */
function explain(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return WORDS[code ?? ""] ?? (message === "" ? (code ?? "failed") : message);
}
