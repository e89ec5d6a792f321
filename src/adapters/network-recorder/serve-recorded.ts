import { createReadStream } from "node:fs";
import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { RecordedResponse } from "../../core/lock/model.ts";
import { sizeOf } from "./body-store.ts";
import type { ProxyRequest } from "./proxy.ts";

/** Headers of an answer that a client may act on and that say the same tomorrow. */
const KEPT_HEADERS = [
  "content-type",
  "content-encoding",
  "content-language",
  "content-disposition",
  "etag",
  "last-modified",
  "location",
  "link",
  "www-authenticate",
  "vary",
  "x-pypi-last-serial",
] as const;

export function keptHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): Readonly<Record<string, string>> {
  const kept = KEPT_HEADERS.flatMap((name): (readonly [string, string])[] => {
    const value = headers[name];
    return value === undefined ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]];
  });
  return Object.fromEntries(kept);
}

interface Range {
  readonly start: number;
  /** Last byte, inclusive. */
  readonly end: number;
}

/**
 * Answers from a recording, the same each time: conditional requests get the whole answer, ranges a part of it
 * (RFC 9110 §14; one range, since nobody here asks for more).
 */
export async function serveRecorded(
  request: ProxyRequest,
  response: ServerResponse,
  recorded: RecordedResponse,
  bodyPath: string,
): Promise<void> {
  const bodiless = recorded.status === 204 || recorded.status === 304;
  const size = sizeOf(bodyPath);
  const range = recorded.status === 200 ? rangeOf(request, recorded, size) : undefined;
  if (range === "unsatisfiable") {
    response.writeHead(416, { "content-range": `bytes */${size}`, "content-length": 0 });
    return void response.end();
  }
  const { start, end } = range ?? { start: 0, end: size - 1 };
  // A recorded HEAD has no body here, but says how long the one of a GET would be.
  const length = recorded.method === "HEAD" ? recorded.headers["content-length"] : String(end - start + 1);
  response.writeHead(range === undefined ? recorded.status : 206, {
    ...recorded.headers,
    ...(recorded.status === 200 ? { "accept-ranges": "bytes" } : {}),
    ...(range === undefined ? {} : { "content-range": `bytes ${start}-${end}/${size}` }),
    ...(bodiless || length === undefined ? {} : { "content-length": length }),
  });
  if (request.method === "HEAD" || bodiless || size === 0) return void response.end();
  await pipeline(createReadStream(bodyPath, { start, end }), response).catch(() => response.destroy()); // the client has had enough
}

function rangeOf(request: ProxyRequest, recorded: RecordedResponse, size: number): Range | "unsatisfiable" | undefined {
  const asked = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? "");
  if (asked === null || request.method !== "GET" || (asked[1] === "" && asked[2] === "")) return undefined;
  const condition = request.headers["if-range"];
  if (condition !== undefined && condition !== recorded.headers["etag"] && condition !== recorded.headers["last-modified"])
    return undefined;
  const [first, last] = [asked[1] ?? "", asked[2] ?? ""];
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size - 1 : Math.min(Number(last), size - 1);
  return start >= size || start > end ? "unsatisfiable" : { start, end };
}
