/**
 * Turns what a command prints into lines that are safe to show and keep: bytes that are not UTF-8 become U+FFFD, escape
 * sequences and control characters are taken out, a carriage return ends a line (progress bars), a line is cut at
 * 4,000 characters, and what comes in between is never held in memory.
 */
export function lineReader(onLine: (line: string) => void): { push(chunk: Buffer): void; end(): void } {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  const take = (text: string): void => {
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "").slice(0, LINE_LIMIT);
    for (const line of lines) onLine(harmless(line));
  };
  return {
    push: (chunk) => take(decoder.decode(chunk, { stream: true })),
    end: () => {
      take(decoder.decode());
      if (rest !== "") onLine(harmless(rest));
      rest = "";
    },
  };
}

/** A guess: longer lines are data rather than something that people read. */
const LINE_LIMIT = 4000;

// eslint-disable-next-line no-control-regex -- control characters are what this takes out
const ESCAPES = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\^_])/g;
// eslint-disable-next-line no-control-regex -- as above
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

export const harmless = (line: string): string => {
  const short = line.length > LINE_LIMIT ? `${line.slice(0, LINE_LIMIT)}…` : line;
  return short.replace(ESCAPES, "").replace(CONTROLS, "\ufffd");
};
