/**
 * Turns what a command prints into lines that are safe to show and keep: bytes that are not UTF-8 become U+FFFD, escape
 * sequences and control characters are taken out, a carriage return ends a line (progress bars), a line is cut at
 * 4,000 characters, and what comes in between is never held in memory. Of a command that prints very much, what comes
 * after the first 16 MiB or 200,000 lines is left out, but for its end, which says how it went.
 */
export function lineReader(onLine: (line: string) => void): { push(chunk: Buffer): void; end(): void } {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  let seenBytes = 0;
  let seenLines = 0;
  let end: Buffer | undefined;
  const take = (text: string): void => {
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "").slice(0, LINE_LIMIT);
    seenLines += lines.length;
    for (const line of lines) onLine(harmless(line));
  };
  const takeEnd = (kept: Buffer): void => {
    const text = new TextDecoder("utf-8").decode(kept);
    rest = "";
    take(kept.length === END_BYTES ? text.slice(text.search(/[\r\n]/) + 1) : text); // the first line may be a part of one
  };
  return {
    push: (chunk) => {
      seenBytes += chunk.length;
      if (end === undefined && seenBytes <= READ_BYTES && seenLines < READ_LINES) return take(decoder.decode(chunk, { stream: true }));
      if (end === undefined) onLine("(very much output: what follows is left out, but for its end)");
      end = chunk.length >= END_BYTES ? chunk.subarray(-END_BYTES) : Buffer.concat([end ?? Buffer.alloc(0), chunk]).subarray(-END_BYTES);
    },
    end: () => {
      if (end === undefined) take(decoder.decode());
      else takeEnd(end);
      if (rest !== "") onLine(harmless(rest));
      rest = "";
    },
  };
}

/** Nobody reads further, a disk is finite, and each line costs some microseconds. Guesses. */
const READ_BYTES = 16 * 1024 * 1024;
const READ_LINES = 200_000;
/** Some hundred lines: more than an error message shows. */
const END_BYTES = 16 * 1024;

/** A guess: longer lines are data rather than something that people read. */
const LINE_LIMIT = 4000;

// eslint-disable-next-line no-control-regex -- control characters are what this takes out
const ESCAPES = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\^_])/g;
// eslint-disable-next-line no-control-regex -- as above
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

const harmless = (line: string): string => {
  const short = line.length > LINE_LIMIT ? `${line.slice(0, LINE_LIMIT)}…` : line;
  return short.replace(ESCAPES, "").replace(CONTROLS, "\ufffd");
};
