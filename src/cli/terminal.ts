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
  /** `bakehouse lock` as this user has to type it, such as `./bakehouse lock` in a clone. */
  asTyped(text: string): string;
  out(text: string): void;
  err(text: string): void;
}

export interface Streams {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface TerminalOptions {
  readonly color: boolean;
  /** `--store` as it was typed. */
  readonly store?: string | undefined;
}

/** Colour is on for terminals unless NO_COLOR (no-color.org: any non-empty value), TERM=dumb or --no-color; FORCE_COLOR turns it on anywhere. */
export function createTerminal(streams: Streams, options: TerminalOptions = { color: true }): Terminal {
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
    asTyped: asTyped(env, options.store),
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
  };
}

/** Where a command begins in what is printed: at a word's start, or after a colour. */
const PROGRAM = /(?<=^|[\s(`"]|\[\d{1,2}m)bakehouse(?= (?:[a-z]|--))/gm;
/** What comes after it when it needs no store, or names one. */
const WITHOUT_STORE = /^ (?:init|schema|doctor|completion|help|version)\b|^[^\n]*--(?:store|help)\b/;
const PLAIN_WORD = /^[\w./+~:-]+$/;

/** The launcher says how it was called; in a folder of PATH its name is enough. A store that was given has to be given again. */
function asTyped(env: Streams["env"], store: string | undefined): (text: string) => string {
  const called = env["BAKEHOUSE_CALLED_AS"];
  if (called === undefined || !PLAIN_WORD.test(called)) return (text) => text;
  const folder = called.slice(0, Math.max(called.lastIndexOf("/"), 0));
  const program = env["PATH"]?.split(":").includes(folder) === true ? called.slice(folder.length + 1) : called;
  const withStore = store === undefined || !PLAIN_WORD.test(store) ? program : `${program} --store ${store}`;
  return (text) => text.replace(PROGRAM, (found, at: number) => (WITHOUT_STORE.test(text.slice(at + found.length)) ? program : withStore));
}
