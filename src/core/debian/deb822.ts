/** One field of a stanza. `line` starts at 1. Continuation lines are joined with `\n`, without their leading blank. */
export interface Field {
  readonly name: string;
  readonly value: string;
  readonly line: number;
}

/** A paragraph of `Name: value` lines; names compare without case. */
export interface Stanza {
  readonly line: number;
  readonly fields: readonly Field[];
}

export interface Deb822Problem {
  readonly line: number;
  readonly message: string;
}

export interface Deb822 {
  readonly stanzas: readonly Stanza[];
  /** Lines that are no field, continuation or comment, and fields given twice; the rest was read all the same. */
  readonly problems: readonly Deb822Problem[];
}

/** The value of a field, by its name without case. */
export const fieldOf = (stanza: Stanza, name: string): string | undefined => {
  const wanted = name.toLowerCase();
  return stanza.fields.find((field) => field.name.toLowerCase() === wanted)?.value;
};

/**
 * Reads Debian's control format (deb822(5)): control files, `Release`, `*.sources`. `#` in the first column is a comment.
 *
 * @example parseDeb822("Package: jq\nVersion: 1.6\n").stanzas[0] // two fields
 */
export function parseDeb822(text: string): Deb822 {
  const stanzas: Stanza[] = [];
  const problems: Deb822Problem[] = [];
  let fields: Field[] = [];
  const endStanza = (): void => {
    const first = fields[0];
    if (first !== undefined) stanzas.push({ line: first.line, fields });
    fields = [];
  };
  text.split("\n").forEach((raw, index) => {
    const line = index + 1;
    const content = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
    if (content.startsWith("#")) return;
    if (content.trim() === "") return endStanza();
    if (content.startsWith(" ") || content.startsWith("\t")) {
      const last = fields.pop();
      if (last === undefined) problems.push({ line, message: "continues a field, but none stands before it" });
      else fields.push({ ...last, value: `${last.value}\n${content.slice(1)}` });
      return;
    }
    const field = readField(content, line);
    if (field === undefined) problems.push({ line, message: `is no field: ${content.slice(0, 60)}` });
    else if (fields.some(({ name }) => name.toLowerCase() === field.name.toLowerCase()))
      problems.push({ line, message: `gives ${field.name} a second time` });
    else fields.push(field);
  });
  endStanza();
  return { stanzas, problems };
}

function readField(content: string, line: number): Field | undefined {
  const colon = content.indexOf(":");
  const name = content.slice(0, colon);
  if (colon < 1 || !/^[!-9;-~]+$/.test(name) || name.startsWith("-")) return undefined;
  return { name, value: content.slice(colon + 1).trim(), line };
}

/** One stanza as text, with its newline at the end. */
export const formatStanza = (fields: readonly Pick<Field, "name" | "value">[]): string =>
  fields.map(({ name, value }) => (value.startsWith("\n") ? `${name}:${indent(value)}\n` : `${name}: ${indent(value)}\n`)).join("");

const indent = (value: string): string => value.replaceAll("\n", "\n ");
