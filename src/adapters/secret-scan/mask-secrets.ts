import { needlesFor, type NamedSecret } from "./needles.ts";

/** What stands in a log in place of a secret. */
const MASK = "***";

/** Hides every form of the secrets, and of their long lines, in a line of output. */
export function maskSecrets(secrets: readonly NamedSecret[]): (line: string) => string {
  const needles = textNeedles(secrets);
  if (needles.length === 0) return (line) => line;
  const pattern = new RegExp(needles.map((needle) => needle.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  return (line) => line.replace(pattern, MASK);
}

/** Also what is too short to be looked for in a whole tree: in a log a mask too many does no harm. */
const MIN_MASKED = 3;

/** Longest first, so that a form that holds another one is hidden whole. */
function textNeedles(secrets: readonly NamedSecret[]): readonly string[] {
  const texts = new Set(needlesFor(secrets).map((needle) => needle.bytes.toString("utf8")));
  for (const { value } of secrets) {
    const lines = value.split(/[\r\n]+/).map((line) => line.trim());
    if (lines.length <= 2) for (const line of lines) if (line.length >= MIN_MASKED) texts.add(line);
  }
  return [...texts].sort((a, b) => b.length - a.length);
}

export interface StreamMasker {
  /** Takes a piece of output; gives back what is whole lines by now, masked. */
  push(chunk: string): string;
  /** The rest. */
  end(): string;
}

/** Masks output that comes in pieces, in which a secret may be cut: only whole lines are given on. */
export function streamMasker(secrets: readonly NamedSecret[]): StreamMasker {
  const mask = maskSecrets(secrets);
  let rest = "";
  return {
    push: (chunk) => {
      const text = rest + chunk;
      const end = Math.max(text.lastIndexOf("\n"), text.lastIndexOf("\r")) + 1;
      rest = text.slice(end);
      return end === 0 ? "" : mask(text.slice(0, end));
    },
    end: () => {
      const text = rest;
      rest = "";
      return mask(text);
    },
  };
}
