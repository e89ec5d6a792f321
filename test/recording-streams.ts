import { Writable } from "node:stream";
import type { Streams } from "../src/cli/terminal.ts";

/** Streams that keep what is written, for tests of the command line in the same process. */
export function recordingStreams(
  options: { readonly isTTY?: boolean; readonly columns?: number; readonly env?: Readonly<Record<string, string>> } = {},
) {
  const text = { out: "", err: "" };
  const stream = (key: "out" | "err") =>
    Object.assign(
      new Writable({
        write(chunk: Buffer, _encoding, done) {
          text[key] += chunk.toString("utf8");
          done();
        },
      }),
      { isTTY: options.isTTY ?? false, columns: options.columns ?? 80 },
    );
  const streams: Streams = { stdout: stream("out"), stderr: stream("err"), env: options.env ?? {} };
  return { streams, text };
}
