import { z } from "zod";

/** What of a JSON Schema the reference shows. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
}

export interface FieldTextOptions {
  /** Text in the type column for fields that are described elsewhere, by key. */
  readonly types?: Readonly<Record<string, string>>;
}

/** A Markdown table of the members of an object schema: key, type, default, meaning; members of members follow, indented by their path. */
export function fieldTable(schema: z.ZodType, options: FieldTextOptions = {}): string {
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Schema;
  const rows = memberRows(json, json, "", options);
  if (rows.length === 0) return "No options.\n";
  return ["| Key | Type | Default | Meaning |", "|---|---|---|---|", ...rows].join("\n") + "\n";
}

function memberRows(schema: Schema, root: Schema, prefix: string, options: FieldTextOptions): readonly string[] {
  const object = objectOf(schema, root);
  if (object === undefined) return [];
  return Object.entries(object.properties ?? {}).flatMap(([key, raw]) => {
    const member = follow(raw, root);
    const isRequired = object.required?.includes(key) === true;
    const preset = member.default ?? raw.default;
    const fallback = isRequired ? "*required*" : preset === undefined || isEmpty(preset) ? "" : code(preset);
    const path = `${prefix}${key}`;
    const row = `| \`${path}\` | ${cell(options.types?.[path] ?? typeText(member, root))} | ${cell(fallback)} | ${cell(raw.description ?? member.description ?? "")} |`;
    const inner = options.types?.[path] === undefined ? innerRows(member, root, path, options) : [];
    return [row, ...inner];
  });
}

/** Members of a nested mapping as `a.b`, of a list's items as `a[].b`, of named entries as `a.<name>.b`. */
function innerRows(member: Schema, root: Schema, path: string, options: FieldTextOptions): readonly string[] {
  if (member.type === "array" && member.items !== undefined) return memberRows(follow(member.items, root), root, `${path}[].`, options);
  if (typeof member.additionalProperties === "object")
    return memberRows(follow(member.additionalProperties, root), root, `${path}.<name>.`, options);
  return memberRows(member, root, `${path}.`, options);
}

function objectOf(schema: Schema, root: Schema): Schema | undefined {
  if (schema.properties !== undefined) return schema;
  const choices = (schema.anyOf ?? schema.oneOf ?? [])
    .map((choice) => follow(choice, root))
    .filter(({ properties }) => properties !== undefined);
  if (choices.length === 0) return undefined;
  return {
    properties: Object.assign({}, ...choices.map(({ properties }) => properties)) as Record<string, Schema>,
    required: [...(choices[0]?.required ?? [])].filter(
      (key) => choices.length === 1 || choices.every(({ required }) => required?.includes(key) === true),
    ),
  };
}

function typeText(schema: Schema, root: Schema): string {
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return [...new Set(choices.map((choice) => typeText(follow(choice, root), root)))].join(" or ");
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map(code).join(", ");
  if (schema.type === "array") return schema.items === undefined ? "list" : `list of ${typeText(follow(schema.items, root), root)}`;
  if (schema.type === "object")
    return typeof schema.additionalProperties === "object" && schema.properties === undefined ? "mapping of names" : "mapping";
  if (schema.type === "integer" || schema.type === "number") return schema.type + rangeText(schema);
  if (schema.type === "boolean") return "true or false";
  if (schema.type === "string") return "text";
  return Array.isArray(schema.type) ? schema.type.join(" or ") : "any";
}

/** zod writes ±(2^53 − 1) for whole numbers without a limit. */
function rangeText({ minimum, maximum }: Schema): string {
  const low = minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER ? minimum : undefined;
  const high = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER ? maximum : undefined;
  if (low === undefined && high === undefined) return "";
  if (high === undefined) return ` from ${low}`;
  return low === undefined ? ` to ${high}` : ` ${low} to ${high}`;
}

const follow = (schema: Schema, root: Schema): Schema => {
  const name = schema.$ref?.replace("#/$defs/", "");
  const target = name === undefined ? undefined : root.$defs?.[name];
  return target === undefined ? schema : { ...target, ...(schema.description === undefined ? {} : { description: schema.description }) };
};

const isEmpty = (value: unknown): boolean => typeof value === "object" && value !== null && Object.keys(value).length === 0;
const code = (value: unknown): string => `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;

/** A pipe would end the cell, also inside code; `<name>` outside code would be taken for HTML. */
export const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("\n", " ").trim();
