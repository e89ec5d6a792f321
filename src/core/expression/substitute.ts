import type { JsonValue } from "../json.ts";
import type { ParameterValue } from "../recipe/model.ts";

/** Keys and list positions from the root of a value to a place in it. */
export type ValuePath = readonly (string | number)[];

export interface UnknownParameter {
  readonly name: string;
  readonly path: ValuePath;
}

export interface Substituted {
  readonly value: JsonValue;
  /** Names of the parameters that occurred. */
  readonly used: ReadonlySet<string>;
  /** Names that occurred and are no parameter; they stand as they were. */
  readonly unknown: readonly UnknownParameter[];
  /** Places whose whole text was one parameter and which therefore took over its type. */
  readonly whole: readonly ValuePath[];
}

/**
 * `{{name}}`, with or without spaces inside. Only a lone name counts, so that the shell's `${a}`, Go's `{{.Name}}`, brace
 * expansion such as `{{a,b},c}` and Jinja with filters pass through as they stand. `{{!name}}` gives `{{name}}`.
 */
const PARAMETER = /\{\{(!*)(\s*)([A-Za-z][A-Za-z0-9_-]*)(\s*)\}\}/g;
const WHOLE = /^\{\{\s*([A-Za-z][A-Za-z0-9_-]*)\s*\}\}$/;

/** What a parameter's name looks like. */
export const PARAMETER_NAME = /^[A-Za-z][A-Za-z0-9_-]*$/;

/**
 * Fills in the parameters of one text.
 *
 * @param onName  called for each name that occurs, known or not
 */
export function substituteText(
  text: string,
  parameters: ReadonlyMap<string, ParameterValue>,
  onName: (name: string, known: boolean) => void = () => undefined,
): string {
  if (!text.includes("{{")) return text;
  return text.replace(PARAMETER, (match: string, bangs: string, before: string, name: string, after: string) => {
    if (bangs.length > 0) return `{{${bangs.slice(1)}${before}${name}${after}}}`;
    const value = parameters.get(name);
    onName(name, value !== undefined);
    return value === undefined ? match : String(value);
  });
}

/**
 * Fills in the parameters of every text in a value; keys are left alone. A text that is nothing but one parameter takes
 * over its type: `"{{port}}"` becomes the number 8080.
 */
export function substitute(value: JsonValue, parameters: ReadonlyMap<string, ParameterValue>): Substituted {
  const used = new Set<string>();
  const unknown: UnknownParameter[] = [];
  const whole: ValuePath[] = [];

  const fill = (part: JsonValue, path: ValuePath): JsonValue => {
    if (typeof part === "string") return fillText(part, path);
    if (Array.isArray(part)) return part.map((item: JsonValue, index) => fill(item, [...path, index]));
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, member]) => [key, fill(member, [...path, key])]));
  };

  const fillText = (text: string, path: ValuePath): JsonValue => {
    const name = text.startsWith("{{") ? WHOLE.exec(text)?.[1] : undefined;
    const only = name === undefined ? undefined : parameters.get(name);
    if (name !== undefined && only !== undefined) {
      used.add(name);
      whole.push(path);
      return only;
    }
    return substituteText(text, parameters, (found, known) => {
      if (known) used.add(found);
      else unknown.push({ name: found, path });
    });
  };

  return { value: fill(value, []), used, unknown, whole };
}
