import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { scanPackages } from "../../core/debian/packages.ts";

/**
 * One `Packages` file and what finds things in it, in a folder of its own:
 *
 *     Packages   as the repository has it, uncompressed
 *     index      sorted lines: `name⇥version⇥architecture⇥offset⇥length`, `~virtual⇥provider`, `!required⇥name` (also
 *                `!essential`, `!important`, `!standard`); the first line is INDEX_FORMAT
 */
export interface PackageIndex {
  readonly folder: string;
  readonly packagesFile: string;
  /** Every version of a name. */
  find(name: string): readonly IndexRow[];
  providersOf(virtual: string): readonly string[];
  /** Names of packages with this mark. */
  marked(mark: Mark): readonly string[];
  /** All names of packages and of virtual ones. */
  names(): readonly string[];
  stanza(row: IndexRow): string;
}

export interface IndexRow {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly offset: number;
  readonly length: number;
}

export type Mark = "essential" | "required" | "important" | "standard";

/** Sorts before all other lines. Raise it when the form changes: older indexes are then made anew. */
const INDEX_FORMAT = "\u0001 bakehouse package index 1";

/** Text of the index of a `Packages` file. */
export function buildIndex(packagesFile: string): string {
  const blocks: string[] = [];
  for (const { text, start } of readBlocks(packagesFile)) {
    const lines: string[] = [];
    scanPackages(text, (found) => {
      lines.push(`${found.name}\t${found.version}\t${found.architecture}\t${start + found.offset}\t${found.length}`);
      for (const virtual of found.provides) lines.push(`~${virtual}\t${found.name}`);
      if (found.essential) lines.push(`!essential\t${found.name}`);
      if (found.priority === "required" || found.priority === "important" || found.priority === "standard")
        lines.push(`!${found.priority}\t${found.name}`);
    });
    blocks.push(lines.join("\n")); // a flat copy, so that the block itself can go
  }
  const lines = new Set(
    blocks
      .join("\n")
      .split("\n")
      .filter((line) => line !== ""),
  );
  return `${[INDEX_FORMAT, ...[...lines].sort()].join("\n")}\n`;
}

/** Bytes looked at together; a stanza has some 800. Larger blocks leave more garbage at once: 1 MiB peaks 15 MB higher. */
const BLOCK_BYTES = 256 << 10;

/** A file in parts that end between stanzas, as latin1: one byte a character, so that offsets are bytes. */
function* readBlocks(file: string): Generator<{ readonly text: string; readonly start: number }> {
  const fd = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(BLOCK_BYTES);
    let rest = "";
    let start = 0;
    for (let count = readSync(fd, buffer); count > 0; count = readSync(fd, buffer)) {
      const text = rest + buffer.toString("latin1", 0, count);
      const end = text.lastIndexOf("\n\n") + 2;
      if (end > 1) yield { text: text.slice(0, end), start };
      rest = end > 1 ? text.slice(end) : text;
      start += end > 1 ? end : 0;
    }
    yield { text: rest, start };
  } finally {
    closeSync(fd);
  }
}

/** @returns undefined when the folder has no index, or one in another form */
export function openIndex(folder: string): PackageIndex | undefined {
  const packagesFile = join(folder, "Packages");
  let text: string;
  try {
    text = readFileSync(join(folder, "index"), "latin1");
  } catch {
    return undefined;
  }
  if (!text.startsWith(`${INDEX_FORMAT}\n`) || !text.endsWith("\n")) return undefined;
  /** The rest of each line that begins with `head`: they stand together, since lines are sorted. */
  const linesOf = (head: string): readonly string[] => {
    const found: string[] = [];
    const start = `\n${head}\t`;
    for (let at = text.indexOf(start); at !== -1; at = text.startsWith(start, at) ? at : -1) {
      const end = text.indexOf("\n", at + 1);
      found.push(text.slice(at + start.length, end));
      at = end;
    }
    return found;
  };
  return {
    folder,
    packagesFile,
    find: (name) =>
      linesOf(name).map((line) => {
        const [version = "", architecture = "", offset = "", length = ""] = line.split("\t");
        return { name, version, architecture, offset: Number(offset), length: Number(length) };
      }),
    providersOf: (virtual) => linesOf(`~${virtual}`),
    marked: (mark) => linesOf(`!${mark}`),
    names: () => [
      ...new Set(
        text
          .split("\n")
          .slice(1, -1)
          .filter((line) => !line.startsWith("!"))
          .map((line) => line.slice(line.startsWith("~") ? 1 : 0, line.indexOf("\t"))),
      ),
    ],
    stanza: (row) => readPart(packagesFile, row.offset, row.length),
  };
}

function readPart(file: string, offset: number, length: number): string {
  const fd = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(length);
    readSync(fd, buffer, 0, length, offset);
    return buffer.toString("utf8");
  } finally {
    closeSync(fd);
  }
}
