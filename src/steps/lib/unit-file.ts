import type { Problem } from "../../core/errors.ts";

/** A setting of a unit file, in the order of the text (systemd.syntax(7)). */
export interface UnitSetting {
  readonly section: string;
  readonly key: string;
  readonly value: string;
}

export interface UnitFile {
  readonly settings: readonly UnitSetting[];
  readonly sections: readonly string[];
  readonly problems: readonly Problem[];
}

/** Reads the syntax only: which keys there are, and what they mean, is systemd's own business. */
export function parseUnit(file: string, text: string): UnitFile {
  const settings: UnitSetting[] = [];
  const sections: string[] = [];
  const problems: Problem[] = [];
  for (const { line, content } of logicalLines(text)) {
    const header = /^\[([^\][]+)\]$/.exec(content)?.[1];
    const at = content.indexOf("=");
    const section = sections.at(-1);
    if (header !== undefined) sections.push(header);
    else if (at < 1)
      problems.push({ file, line, column: 1, message: `"${content.slice(0, 60)}" is neither a [Section] nor a Setting=value` });
    else if (section === undefined)
      problems.push({ file, line, column: 1, message: `"${content.slice(0, 60)}" stands before the first [Section]` });
    else settings.push({ section, key: content.slice(0, at).trim(), value: content.slice(at + 1).trim() });
  }
  return { settings, sections, problems };
}

/** Lines with their continuations (a backslash at the end, comments in between left out). */
function logicalLines(text: string): readonly { readonly line: number; readonly content: string }[] {
  const found: { line: number; content: string }[] = [];
  let open: { line: number; content: string } | undefined;
  for (const [index, raw] of text.split("\n").entries()) {
    const content = raw.trim();
    if (/^[#;]/.test(content)) continue;
    const continues = content.endsWith("\\");
    const part = continues ? content.slice(0, -1) : content;
    if (open === undefined) open = { line: index + 1, content: part };
    else open.content += ` ${part}`;
    if (continues) continue;
    if (open.content.trim() !== "") found.push({ line: open.line, content: open.content.trim() });
    open = undefined;
  }
  if (open !== undefined && open.content.trim() !== "") found.push({ line: open.line, content: open.content.trim() });
  return found;
}

/** All words of a list setting: it may occur many times, and an empty one forgets those before it. */
export function wordsOf(settings: readonly UnitSetting[], section: string, key: string): readonly string[] {
  const given = settings.filter((setting) => setting.section === section && setting.key === key);
  const since = given.findLastIndex((setting) => setting.value === "");
  return given
    .slice(since + 1)
    .flatMap((setting) => (setting.value.match(/"[^"]*"|'[^']*'|\S+/g) ?? []).map((word) => word.replace(/^(["'])(.*)\1$/, "$2")));
}

const UNIT_TYPES = ["service", "socket", "target", "timer", "path", "mount", "automount", "swap", "slice", "device", "scope"] as const;
const UNIT_NAME = new RegExp(`^[A-Za-z0-9:_.\\\\@-]+\\.(?:${UNIT_TYPES.join("|")})$`);

/** `nginx` is `nginx.service`, as for systemctl. */
export const fullUnitName = (name: string): string => (UNIT_NAME.test(name) ? name : `${name}.service`);

export const isUnitName = (name: string): boolean => name.length <= 255 && UNIT_NAME.test(name);

export interface UnitNameParts {
  readonly prefix: string;
  /** Undefined without `@`; empty for a template. */
  readonly instance: string | undefined;
  /** With its dot. */
  readonly suffix: string;
}

export function splitUnitName(name: string): UnitNameParts {
  const dot = name.lastIndexOf(".");
  const stem = name.slice(0, dot);
  const at = stem.indexOf("@");
  return at === -1
    ? { prefix: stem, instance: undefined, suffix: name.slice(dot) }
    : { prefix: stem.slice(0, at), instance: stem.slice(at + 1), suffix: name.slice(dot) };
}

export const isTemplate = (name: string): boolean => splitUnitName(name).instance === "";

/** `tool@one.service` → `tool@.service`; nothing for what is no instance. */
export function templateOf(name: string): string | undefined {
  const { prefix, instance, suffix } = splitUnitName(name);
  return instance === undefined || instance === "" ? undefined : `${prefix}@${suffix}`;
}

export const withInstance = (template: string, instance: string): string => template.replace(/@(?=\.[a-z]+$)/, `@${instance}`);
