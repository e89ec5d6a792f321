import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { MirrorState } from "../../core/cakes/comparison.ts";
import type { LaunchMirrors } from "../../ports/launch-mirrors.ts";

interface Kept {
  readonly status: number;
  readonly body: Buffer;
}

/** Bytes that a slow mirror sends at once: small beside what it sends in a second. */
const PIECE = 4096;

/**
 * What machines fetch from while launches are compared: payloads at `/<name>`, mirrors at `/mirror/<name>/…`. What a mirror has
 * given once is kept in memory, so that launches are compared and not the network of that moment.
 */
export function launchMirrors(upstreams: Readonly<Record<string, string>>): LaunchMirrors {
  const kept = new Map<string, Promise<Kept>>();
  const fetched = (name: string, path: string, signal: AbortSignal): Promise<Kept> => {
    const key = `${name}/${path}`;
    const found = kept.get(key) ?? fromUpstream(upstreams[name], path, signal);
    kept.set(key, found);
    found.catch(() => kept.delete(key));
    return found;
  };
  return {
    open: ({ state, payloads, signal }) => {
      let sentBytes = 0;
      const send = sender(state, (bytes) => (sentBytes += bytes));
      const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
        const path = decodeURI((request.url ?? "/").replace(/\?.*/, ""));
        const payload = payloads.get(path.slice(1));
        if (payload !== undefined)
          return sender({ kind: "good" }, (bytes) => (sentBytes += bytes))(response, { status: 200, body: payload });
        const [, mirror = "", rest = ""] = /^\/mirror\/([^/]+)\/(.*)$/.exec(path) ?? [];
        if (upstreams[mirror] === undefined) return void response.writeHead(404).end();
        await send(response, await fetched(mirror, rest, signal), path);
      };
      const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
      return { onConnection: (socket) => void server.emit("connection", socket), sentBytes: () => sentBytes, close: () => close(server) };
    },
  };
}

function close(server: Server): void {
  server.close();
  server.closeAllConnections();
}

async function fromUpstream(base: string | undefined, path: string, signal: AbortSignal): Promise<Kept> {
  const answered = await fetch(`${(base ?? "").replace(/\/$/, "")}/${path}`, { signal });
  return { status: answered.status, body: Buffer.from(await answered.arrayBuffer()) };
}

type Send = (response: ServerResponse, kept: Kept, path?: string) => Promise<void>;

/** All connections of one launch share the rate of a slow mirror. */
function sender(state: MirrorState, onSent: (bytes: number) => void): Send {
  const bytesPerMs = state.kind === "slow" ? state.kBPerSecond : Infinity;
  let freeAt = 0;
  return async (response, { status, body }, path = "") => {
    const isCut = state.kind === "broken" && path.endsWith(".deb");
    const length = isCut ? Math.floor(body.length / 2) : body.length;
    response.writeHead(status, { "content-length": body.length });
    const step = state.kind === "slow" ? PIECE : Math.max(1, length);
    for (let at = 0; at < length; at += step) {
      if (response.destroyed) return;
      const piece = body.subarray(at, Math.min(length, at + step));
      if (state.kind === "slow") {
        freeAt = Math.max(freeAt, performance.now()) + piece.length / bytesPerMs;
        await sleep(Math.max(0, freeAt - performance.now()));
      }
      response.write(piece);
      onSent(piece.length);
    }
    if (isCut) response.write("", () => response.destroy());
    else response.end();
  };
}
