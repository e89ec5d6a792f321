import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface TestServer {
  readonly url: string;
  /** `METHOD path range` of each request so far. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** A server on 127.0.0.1 for tests; `close` ends open connections too. */
export async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push([request.method, request.url, request.headers.range].filter((part) => part !== undefined).join(" "));
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Sends a whole file or the range asked for, as a mirror does. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  content: Buffer,
  options: { readonly ranges?: boolean; readonly etag?: string; readonly cutAfter?: number } = {},
): void {
  const start = options.ranges === false ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const isCurrent = request.headers["if-range"] === undefined || request.headers["if-range"] === options.etag;
  const from = isCurrent ? start : 0;
  const body = content.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    "content-length": body.length,
    ...(options.etag === undefined ? {} : { etag: options.etag }),
    ...(from > 0 ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` } : {}),
  });
  if (options.cutAfter === undefined) response.end(body);
  else response.write(body.subarray(0, options.cutAfter), () => setImmediate(() => response.destroy()));
}
