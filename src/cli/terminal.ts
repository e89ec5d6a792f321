import pc from "picocolors";

export type Colors = ReturnType<typeof pc.createColors>;

/** Where a command's words go: results to `out`, everything else (progress, warnings, errors) to `err`. */
export interface Terminal {
  /** Whether stderr is a terminal that understands cursor movement: then progress is drawn live. */
  readonly isLive: boolean;
  /** Whether stdout goes to a person's terminal. */
  readonly isInteractive: boolean;
  /** Columns to fit into; `Infinity` when stdout is not a terminal, so that nothing is ever cut in a pipe or file. */
  readonly columns: number;
  readonly colors: Colors;
  /** Colours for stderr, which may be a terminal when stdout is not. */
  readonly errorColors: Colors;
  out(text: string): void;
  err(text: string): void;
}

export interface Streams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Colour is on for terminals unless NO_COLOR (no-color.org: any non-empty value), TERM=dumb or --no-color; FORCE_COLOR turns it on anywhere. */
export function createTerminal(streams: Streams, options: { readonly color: boolean } = { color: true }): Terminal {
  const { stdout, stderr, env } = streams;
  const allowed = options.color && !env["NO_COLOR"];
  const dumb = env["TERM"] === "dumb";
  const forced = Boolean(env["FORCE_COLOR"]) && env["FORCE_COLOR"] !== "0";
  const colorsFor = (isTTY: boolean | undefined) => pc.createColors(allowed && (forced || (isTTY === true && !dumb)));
  return {
    isLive: stderr.isTTY === true && !dumb && !env["CI"],
    isInteractive: stdout.isTTY === true,
    // A terminal that was never told its size says 0 (script, expect, docker -t).
    columns: stdout.isTTY === true ? Math.max(20, stdout.columns || 80) : Infinity,
    colors: colorsFor(stdout.isTTY),
    errorColors: colorsFor(stderr.isTTY),
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
  };
}
