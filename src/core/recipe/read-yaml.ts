import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from "yaml";
import type { Alias, Document, ErrorCode, Node, Pair, Scalar, YAMLMap } from "yaml";
import { suggestion } from "../text/did-you-mean.ts";
import { quote, showPath } from "./describe-value.ts";
import type { JsonValue } from "../json.ts";
import type { Position } from "./model.ts";
import type { RecipeProblem } from "./problems.ts";
import type { ValuePath } from "../expression/substitute.ts";

/** A YAML text as plain data, and where each part of it stands. */
export interface YamlSource {
  /** `undefined` when the text is empty or cannot be read at all. */
  readonly value: JsonValue | undefined;
  readonly problems: readonly RecipeProblem[];
  /** Whether the text is YAML; when it is not, `value` holds what could be made out and is not worth checking. */
  readonly readable: boolean;
  /** Paths of values that a problem was already told about: whatever else is wrong with them is its echo. */
  readonly broken: ReadonlySet<string>;
  /** Where a value starts; the nearest part around it that exists otherwise. */
  positionOf(path: ValuePath): Position;
  /** Where the first match of a pattern stands in a text as it is written; where the text starts if it is not there. */
  positionInside(path: ValuePath, pattern: RegExp): Position;
  /** Where the key of a value starts; the value itself for a list entry. */
  keyPositionOf(path: ValuePath): Position;
  /** A single value exactly as it is written, such as `1.10` or `0644`. */
  writtenAs(path: ValuePath): string | undefined;
}

/** 1 MiB of text: hundreds of times the longest recipe seen, and read in a few seconds at worst. */
export const MAX_RECIPE_BYTES = 1 << 20;
/** Values after aliases are followed; a long recipe has some hundreds (a guess at what nobody means). */
const MAX_VALUES = 200_000;
/** Levels of nesting; a recipe has about ten. */
const MAX_DEPTH = 100;

/**
 * Reads YAML 1.2 (core schema) strictly: no duplicate keys, no tags, no keys that are not text, no merge keys, no numbers
 * that lose digits. Anchors and aliases are followed, within limits.
 *
 * @param file  what problems call the text
 * @returns never throws: what is wrong with the text is in `problems`, all of it
 */
export function readYaml(text: string, file: string): YamlSource {
  const refusal = refuseText(text, file);
  if (refusal !== undefined) return unreadable([refusal]);
  const lines = new LineCounter();
  const document = parse(text, lines);
  if (document === undefined) return unreadable([{ ...TOO_DEEP, file }]);
  const syntax = syntaxProblems(document, text, lines, file);
  if (syntax.length > 0) return unreadable(syntax);
  return new YamlReader(document, lines, text, file).read();
}

const TOO_DEEP = {
  severity: "error",
  message: `values are nested more than ${MAX_DEPTH} levels deep`,
} as const satisfies Omit<RecipeProblem, "file">;

function unreadable(problems: readonly RecipeProblem[]): YamlSource {
  const start: Position = { line: 1, column: 1 };
  return {
    value: undefined,
    problems,
    readable: false,
    broken: new Set(),
    positionOf: () => start,
    positionInside: () => start,
    keyPositionOf: () => start,
    writtenAs: () => undefined,
  };
}

function refuseText(text: string, file: string): RecipeProblem | undefined {
  const sizeBytes = text.length > MAX_RECIPE_BYTES ? text.length : new TextEncoder().encode(text).length;
  if (sizeBytes > MAX_RECIPE_BYTES) {
    return {
      severity: "error",
      file,
      message: `a recipe is at most 1 MiB (${MAX_RECIPE_BYTES} bytes), this has ${sizeBytes} bytes`,
      hint: "put long contents into files beside it and copy them",
    };
  }
  // U+FFFD is what a decoder leaves in place of bytes that are not UTF-8; a NUL is never text.
  const bad = Math.min(...["\0", "\uFFFD"].map((character) => text.indexOf(character)).filter((index) => index >= 0));
  if (bad === Infinity) return undefined;
  const before = text.slice(0, bad).split("\n");
  return {
    severity: "error",
    file,
    line: before.length,
    column: (before.at(-1)?.length ?? 0) + 1,
    message: text[bad] === "\0" ? "holds a NUL character: this is not a text file" : "holds bytes that are not UTF-8",
  };
}

function parse(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    // Duplicate keys are found by our own walk: the library compares each key with each.
    return parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false, version: "1.2", schema: "core" });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** One problem per line: what follows the first mistake in a line is mostly its echo. */
function syntaxProblems(document: Document.Parsed, text: string, lines: LineCounter, file: string): RecipeProblem[] {
  const found = new Map<number, RecipeProblem>();
  for (const error of [...document.errors, ...document.warnings]) {
    if (error.code === "RESOURCE_EXHAUSTION") return [{ ...TOO_DEEP, file }];
    const openQuote = error.code === "MISSING_CHAR" && error.message.startsWith("Missing closing") ? lastQuote(document) : undefined;
    const { line, col } = lines.linePos(Math.min(openQuote ?? error.pos[0], text.length));
    if (found.has(line)) continue;
    const written = text.slice(error.pos[0], error.pos[1]).trim();
    found.set(line, {
      severity: "error",
      file,
      line: Math.max(line, 1),
      column: Math.max(col, 1),
      ...explainSyntax(error.code, error.message, written),
    });
  }
  return [...found.values()];
}

/** Where the last quoted text starts: one that is never closed takes up all that follows. */
function lastQuote(document: Document.Parsed): number | undefined {
  let start: number | undefined;
  visit(document, {
    Scalar(_key, node) {
      if (node.type?.startsWith("QUOTE") === true) start = node.range?.[0];
    },
  });
  return start;
}

/** What to say for the mistakes that people make; the library's own sentence for the rest. */
function explainSyntax(code: ErrorCode, message: string, written: string): { message: string; hint?: string } {
  switch (code) {
    case "TAB_AS_INDENT":
      return { message: "a tab is used for indentation", hint: "YAML is indented with spaces" };
    case "MULTIPLE_DOCS":
      return { message: "a second document starts here", hint: "one recipe is one document: remove the `---`" };
    case "TAG_RESOLVE_FAILED":
      return { message: `the tag ${quote(written)} is not read`, hint: "remove it" };
    case "UNEXPECTED_TOKEN":
      return message.endsWith("at node end")
        ? { message: "something follows a value that is already complete", hint: "put the whole text in quotes" }
        : { message: lowerFirst(message) };
    case "BAD_INDENT": {
      const bracket = /end with a ([\]}])$/.exec(message)?.[1];
      if (bracket !== undefined)
        return { message: `the "${bracket === "]" ? "[" : "{"}" above is not closed, or what follows it is not indented` };
      return { message: `the indentation does not fit: ${lowerFirst(message)}` };
    }
    case "BLOCK_AS_IMPLICIT_KEY":
      return { message: "a mapping cannot start here", hint: 'a text that holds ": " needs quotes' };
    case "MISSING_CHAR":
      return { message: message.startsWith("Missing closing") ? "the quote that opens here is never closed" : lowerFirst(message) };
    default:
      return { message: lowerFirst(message) };
  }
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

/** A node as plain data, with how much it stands for once its aliases are followed. */
interface Plain {
  readonly value: JsonValue;
  readonly size: number;
  readonly depth: number;
}

/** The nodes of a mapping's member; of members with the same key the first one counts. */
interface Member {
  readonly key: Node;
  readonly value: Node | undefined;
}

const NOTHING: Plain = { value: null, size: 1, depth: 0 };

/** Turns the library's nodes into plain data, once, and remembers where anchors point so that places can be found later. */
class YamlReader implements YamlSource {
  value: JsonValue | undefined;
  readonly problems: RecipeProblem[] = [];
  readonly readable = true;
  readonly broken = new Set<string>();
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #text: string;
  readonly #file: string;
  /** Anchors whose node is complete, by name: the latest counts. */
  readonly #anchors = new Map<string, { readonly node: Node; readonly plain: Plain }>();
  readonly #open = new Set<string>();
  readonly #targets = new Map<Alias, Node>();
  readonly #members = new Map<Node, ReadonlyMap<string, Member>>();
  #total = 0;
  #tooMuch = false;

  constructor(document: Document.Parsed, lines: LineCounter, text: string, file: string) {
    this.#document = document;
    this.#lines = lines;
    this.#text = text;
    this.#file = file;
  }

  read(): YamlSource {
    const root = this.#document.contents;
    const empty = root === null || (isScalar(root) && root.value === null);
    this.value = empty ? undefined : this.#convert(root, []).value;
    if (!this.#tooMuch) return this;
    return unreadable([
      ...this.problems.filter((problem) => problem.message === TOO_DEEP.message || problem.message === TOO_MUCH).slice(0, 1),
    ]);
  }

  #convert(node: Node | null | undefined, path: ValuePath): Plain {
    if (node === null || node === undefined || this.#tooMuch) return NOTHING;
    if (path.length > MAX_DEPTH) return this.#stop(node, TOO_DEEP.message);
    if (this.#total > MAX_VALUES) return this.#stop(node, TOO_MUCH);
    if (isAlias(node)) return this.#follow(node, path);
    this.#total += 1;
    const anchor = node.anchor;
    if (anchor !== undefined) this.#open.add(anchor);
    const plain = this.#convertContent(node, path);
    if (anchor !== undefined) {
      this.#open.delete(anchor);
      this.#anchors.set(anchor, { node, plain });
    }
    return plain;
  }

  #convertContent(node: Node, path: ValuePath): Plain {
    if (isScalar(node)) return this.#scalar(node, path);
    if (isSeq(node)) return this.#list(node.items as (Node | null)[], path);
    if (isMap(node)) return this.#mapping(node, path);
    return NOTHING;
  }

  #list(items: readonly (Node | null)[], path: ValuePath): Plain {
    const values: JsonValue[] = [];
    let size = 1;
    let depth = 0;
    for (const [index, item] of items.entries()) {
      const plain = this.#convert(item, [...path, index]);
      values.push(plain.value);
      size += plain.size;
      depth = Math.max(depth, plain.depth + 1);
    }
    return { value: values, size, depth };
  }

  #mapping(node: YAMLMap, path: ValuePath): Plain {
    const members = new Map<string, Member>();
    const values: [string, JsonValue][] = [];
    let size = 1;
    let depth = 0;
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const key = this.#key(pair.key, path);
      const plain = this.#convert(pair.value, [...path, key ?? ""]);
      if (key === undefined) continue;
      const first = members.get(key);
      if (first !== undefined) this.#duplicate(pair.key, key, first.key, path);
      else {
        members.set(key, { key: pair.key, value: pair.value ?? undefined });
        values.push([key, plain.value]);
      }
      size += plain.size;
      depth = Math.max(depth, plain.depth + 1);
    }
    this.#members.set(node, members);
    return { value: Object.fromEntries(values), size, depth };
  }

  #duplicate(node: Node, key: string, first: Node, path: ValuePath): void {
    const where = this.#place(first);
    this.#tell(node, path, `the key ${quote(key)} stands here twice`, `the first is in line ${where.line}; keep one`);
  }

  /** The key as text; numbers and booleans as they are written. */
  #key(node: Node, path: ValuePath): string | undefined {
    if (isAlias(node)) return this.#keyMistake(node, path, "an alias cannot be a key");
    if (isMap(node) && node.flow === true)
      return this.#keyMistake(node, path, "a mapping cannot be a key", 'a text that starts with "{{" needs quotes: "{{version}}"');
    if (!isScalar(node)) return this.#keyMistake(node, path, `${isSeq(node) ? "a list" : "a mapping"} cannot be a key`);
    if (node.value === null) return this.#keyMistake(node, path, "a key is empty");
    const key = typeof node.value === "string" ? node.value : this.#written(node);
    if (key === "<<")
      return this.#keyMistake(node, path, "merge keys (<<) are not read", "write the keys out, or use an alias for the whole value");
    if (key === "__proto__") return this.#keyMistake(node, path, '"__proto__" cannot be a key');
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, { node, plain: { value: key, size: 1, depth: 0 } });
    return key;
  }

  #keyMistake(node: Node, path: ValuePath, message: string, hint?: string): undefined {
    this.#report(node, path, message, hint);
    return undefined;
  }

  #scalar(node: Scalar, path: ValuePath): Plain {
    const value = node.value;
    if (typeof value === "number") this.#checkNumber(node, value, path);
    const plain = typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? value : null;
    return { value: plain, size: 1, depth: 0 };
  }

  #checkNumber(node: Scalar, value: number, path: ValuePath): void {
    const written = this.#written(node);
    const quoted = `in quotes for text: "${written}"`;
    if (!Number.isFinite(value)) this.#report(node, path, `${written} is not a number that a recipe can hold`);
    else if (/^[-+]?0\d/.test(written))
      this.#report(node, path, `${written} is read as the number ${value}, not as octal`, `write it ${quoted}`);
    else if (/^[-+]?\d+$/.test(written) && !Number.isSafeInteger(value))
      this.#report(node, path, `${written} has more digits than a number can hold`, `write it ${quoted}`);
  }

  #follow(alias: Alias, path: ValuePath): Plain {
    const target = this.#anchors.get(alias.source);
    if (this.#open.has(alias.source)) {
      this.#report(alias, path, `the alias *${alias.source} stands inside of what it names`);
      return NOTHING;
    }
    if (target === undefined) {
      this.#report(
        alias,
        path,
        `there is no anchor &${alias.source} above`,
        suggestion(alias.source, [...this.#anchors.keys()], "anchors"),
      );
      return NOTHING;
    }
    this.#targets.set(alias, target.node);
    if (path.length + target.plain.depth > MAX_DEPTH) return this.#stop(alias, TOO_DEEP.message);
    this.#total += target.plain.size;
    return target.plain;
  }

  #stop(node: Node, message: string): Plain {
    if (!this.#tooMuch) this.#report(node, [], message);
    this.#tooMuch = true;
    return NOTHING;
  }

  /** Tells a problem that leaves the value at the path without a meaning. */
  #report(node: Node, path: ValuePath, message: string, hint?: string): void {
    if (path.length > 0) this.broken.add(path.join("\0"));
    this.#tell(node, path, message, hint);
  }

  #tell(node: Node, path: ValuePath, message: string, hint?: string): void {
    this.problems.push({
      severity: "error",
      file: this.#file,
      ...this.#place(node),
      message: `${prefix(path)}${message}`,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #place(node: Node | null | undefined): Position {
    return this.#placeAt(node?.range?.[0] ?? 0);
  }

  #placeAt(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  #written(node: Scalar): string {
    return node.source ?? this.#text.slice(node.range?.[0] ?? 0, node.range?.[1] ?? 0);
  }

  positionOf(path: ValuePath): Position {
    const { node, key } = this.#find(path);
    // A key without a value has an empty node behind the colon: its key is the better place.
    const empty = node === undefined || (isScalar(node) && node.value === null && (node.source ?? "") === "");
    return this.#place(empty ? (key ?? node) : node);
  }

  positionInside(path: ValuePath, pattern: RegExp): Position {
    const { node, exact } = this.#find(path);
    const [start, end] = (exact ? node?.range : undefined) ?? [0, 0];
    const at = this.#text.slice(start, end).search(pattern);
    return at < 0 ? this.positionOf(path) : this.#placeAt(start + at);
  }

  keyPositionOf(path: ValuePath): Position {
    const { node, key } = this.#find(path);
    return this.#place(key ?? node);
  }

  writtenAs(path: ValuePath): string | undefined {
    const { node, exact } = this.#find(path);
    return exact && isScalar(node) ? this.#written(node) : undefined;
  }

  /** The node at a path, or the deepest one on the way to it, with the key that leads to it. */
  #find(path: ValuePath): { readonly node: Node | undefined; readonly key: Node | undefined; readonly exact: boolean } {
    let node = this.#resolve(this.#document.contents ?? undefined);
    let key: Node | undefined;
    for (const part of path) {
      const next: Partial<Member> | undefined = isSeq(node)
        ? { value: node.items[Number(part)] as Node | undefined }
        : node && this.#members.get(node)?.get(String(part));
      if (next?.value === undefined && next?.key === undefined) return { node, key, exact: false };
      key = next.key;
      node = this.#resolve(next.value);
    }
    return { node, key, exact: true };
  }

  #resolve(node: Node | undefined): Node | undefined {
    return isAlias(node) ? this.#targets.get(node) : node;
  }
}

const TOO_MUCH = `this is more than ${MAX_VALUES} values, with its aliases followed`;

const prefix = (path: ValuePath): string => (path.length === 0 ? "" : `${showPath(path)}: `);
