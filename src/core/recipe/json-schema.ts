import { z } from "zod";
import type { JsonValue } from "../json.ts";
import { cycleSchema } from "./cycle-section.ts";
import { fleetSchema } from "./fleets-section.ts";
import { notifySchema } from "./notify-section.ts";
import { retentionSchema } from "./retention-section.ts";
import { channelFields } from "./channels.ts";
import type { CheckDefinition, CheckRegistry } from "../checks/check.ts";
import type { StepDefinition } from "../step.ts";
import {
  checkSettingFields,
  layerFields,
  nameSchema,
  parameterNameSchema,
  parameterSchema,
  parameterValueSchema,
  recipeFields,
  repositorySchema,
  secretFields,
  stepSettingFields,
} from "./schema.ts";
import type { StepRegistry } from "./steps.ts";

type JsonObject = { readonly [key: string]: JsonValue };

/** Where editors find the published schema; also its identity. */
export const RECIPE_SCHEMA_ID = "bakehouse.schema.json";

/**
 * The JSON Schema (draft 2020-12) of `bakehouse.yaml`, with every step, its options and what they mean, so that editors
 * complete and check. It accepts all that the parser accepts; what a schema cannot say (parents, secrets that exist,
 * cycles) is left to `bakehouse plan`.
 */
export function recipeJsonSchema(steps: StepRegistry, checks: CheckRegistry = new Map()): JsonObject {
  const shape = toJson(z.strictObject({ ...recipeFields, layers: z.record(z.string(), z.unknown()) }));
  const properties = objectAt(shape, "properties");
  const sections: JsonObject = {
    parameters: section(properties, "parameters", parameterNameSchema, {
      anyOf: [{ $ref: "#/$defs/parameter" }, { ...toJson(parameterValueSchema), description: "Short for its type and default" }],
    }),
    repositories: section(properties, "repositories", nameSchema, { $ref: "#/$defs/repository" }),
    secrets: section(properties, "secrets", nameSchema, { $ref: "#/$defs/secret" }),
    cycle: { ...objectAt(properties, "cycle"), ...toJson(cycleSchema) },
    retention: { ...objectAt(properties, "retention"), ...toJson(retentionSchema) },
    notify: section(properties, "notify", nameSchema, toJson(notifySchema)),
    channels: section(properties, "channels", nameSchema, { anyOf: [{ $ref: "#/$defs/channel" }, { type: "null" }] }),
    fleets: section(properties, "fleets", nameSchema, toJson(fleetSchema)),
    layers: { ...section(properties, "layers", nameSchema, { $ref: "#/$defs/layer" }), minProperties: 1 },
  };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    $id: RECIPE_SCHEMA_ID,
    title: "Bakehouse recipe",
    description: "What to bake: layers of steps, from a foundation to a release",
    ...without(shape, "$schema"),
    properties: { ...properties, ...sections },
    patternProperties: { "^x-": { description: "Left alone: a place for anchors" } },
    $defs: {
      parameterReference: { type: "string", pattern: "\\{\\{.*\\}\\}", description: "{{name}}: the value of a parameter" },
      parameter: toJson(parameterSchema),
      repository: allowParameters(toJson(repositorySchema)) as JsonObject,
      secret: { ...toJson(z.strictObject(secretFields)), minProperties: 1, maxProperties: 1 },
      channel: toJson(z.strictObject(channelFields)),
      layer: layerJson(),
      step: itemJson("step", steps, stepSettingFields),
      check: itemJson("check", checks, checkSettingFields),
      ...Object.assign({}, ...[...steps.values()].map((step) => optionsDefs(`step-${step.id}`, step.options, step.summary))),
      ...Object.assign({}, ...[...checks.values()].map((check) => optionsDefs(`check-${check.id}`, check.options, check.summary))),
    },
  };
}

/** The text of the published file: two spaces, one newline at the end. */
export const generateSchema = (steps: StepRegistry, checks: CheckRegistry): string =>
  `${JSON.stringify(recipeJsonSchema(steps, checks), null, 2)}\n`;

function section(properties: JsonObject, key: string, names: z.ZodType, values: JsonObject): JsonObject {
  return { ...without(objectAt(properties, key), "default"), propertyNames: toJson(names), additionalProperties: values };
}

function layerJson(): JsonObject {
  const layer = toJson(z.strictObject(layerFields));
  const properties = objectAt(layer, "properties");
  const filled = (key: string): JsonValue => allowParameters(objectAt(properties, key));
  const steps: JsonObject = { ...objectAt(properties, "steps"), items: { $ref: "#/$defs/step" } };
  const checks: JsonObject = { ...objectAt(properties, "checks"), items: { $ref: "#/$defs/check" } };
  return { ...layer, properties: { ...properties, from: filled("from"), image: filled("image"), steps, checks } };
}

/** One entry of `steps:` or `checks:`: exactly one of them, and the settings that each may have. */
function itemJson(
  word: "step" | "check",
  items: ReadonlyMap<string, StepDefinition | CheckDefinition>,
  fields: typeof stepSettingFields | typeof checkSettingFields,
): JsonObject {
  const settings = objectAt(toJson(z.strictObject(fields)), "properties");
  const ids = [...items.keys()];
  return {
    type: "object",
    description: `One ${word}: its id and options, and settings such as name and timeout`,
    properties: {
      ...Object.fromEntries([...items.values()].map(({ id, summary }) => [id, { $ref: `#/$defs/${word}-${id}`, description: summary }])),
      ...settings,
    },
    additionalProperties: false,
    ...(ids.length === 0 ? {} : { oneOf: ids.map((id) => ({ required: [id] })) }),
  };
}

/** The definition of the options of a step or check, and of what they refer to (a schema that holds itself), under names of the step's own. */
function optionsDefs(id: string, options: z.ZodType, summary: string): JsonObject {
  const json = optionsJson(options, summary);
  const inner = json["$defs"] === undefined ? {} : objectAt(json, "$defs");
  const defs = {
    [id]: without(json, "$defs"),
    ...Object.fromEntries(Object.entries(inner).map(([name, schema]) => [`${id}-${name}`, schema])),
  };
  return JSON.parse(JSON.stringify(defs), (key, value: unknown) => {
    if (key !== "$ref" || typeof value !== "string" || value === PARAMETER_REFERENCE) return value;
    return value === "#" ? `#/$defs/${id}` : value.replace("#/$defs/", `#/$defs/${id}-`);
  }) as JsonObject;
}

const PARAMETER_REFERENCE = "#/$defs/parameterReference";

/** What can do without options may be written as `id:` with nothing behind it. */
function optionsJson(options: z.ZodType, summary: string): JsonObject {
  const json = allowParameters(toJson(options)) as JsonObject;
  const described = { description: summary, ...json };
  if (!options.safeParse({}).success) return described;
  return {
    description: described.description,
    anyOf: [without(json, "$defs"), { type: "null" }],
    ...(json["$defs"] === undefined ? {} : { $defs: json["$defs"] }),
  };
}

function toJson(schema: z.ZodType): JsonObject {
  const json = z.toJSONSchema(schema, { io: "input", target: "draft-2020-12", unrepresentable: "any", reused: "inline" });
  const plain = JSON.parse(JSON.stringify(json), (key, value: unknown) =>
    key === "format" && typeof value === "string" && !FORMATS.has(value) ? undefined : value,
  ) as JsonObject;
  return without(plain, "$schema");
}

/** Of the formats that zod names, those that JSON Schema knows (draft 2020-12, validation §7.3); the pattern beside the others says it all. */
const FORMATS: ReadonlySet<string> = new Set([
  "date-time",
  "date",
  "time",
  "duration",
  "email",
  "hostname",
  "ipv4",
  "ipv6",
  "uri",
  "uuid",
  "regex",
]);

function without(object: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key));
}

function objectAt(object: JsonObject, key: string): JsonObject {
  const value = object[key];
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error(`the schema has no object "${key}"`);
  return value as JsonObject;
}

/** Keywords whose members are schemas by name. */
const SCHEMAS_BY_NAME: ReadonlySet<string> = new Set(["properties", "patternProperties", "$defs"]);
/** Keywords that hold a schema or a list of them. */
const SCHEMAS: ReadonlySet<string> = new Set(["items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf", "not"]);

/**
 * A number, a boolean, or a text with rules may also be a text with a parameter in it, which is checked once the
 * parameter is filled in.
 */
function allowParameters(schema: JsonValue): JsonValue {
  if (Array.isArray(schema)) return schema.map(allowParameters);
  if (schema === null || typeof schema !== "object") return schema;
  const inner: JsonObject = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => {
      if (SCHEMAS_BY_NAME.has(key)) return [key, mapValues(value)];
      // With a parameter in the place of a value, more than one alternative may fit.
      return SCHEMAS.has(key) ? [key === "oneOf" ? "anyOf" : key, allowParameters(value)] : [key, value];
    }),
  );
  if (!isLeafWithRules(inner)) return inner;
  const { description, default: byDefault, ...rules } = inner;
  const kept = { ...(description === undefined ? {} : { description }), ...(byDefault === undefined ? {} : { default: byDefault }) };
  return { ...kept, anyOf: [rules, { $ref: PARAMETER_REFERENCE }] };
}

function mapValues(value: JsonValue): JsonValue {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, allowParameters(member)]));
}

function isLeafWithRules(schema: JsonObject): boolean {
  const type = schema["type"];
  if (type === "number" || type === "integer" || type === "boolean" || schema["enum"] !== undefined) return true;
  return type === "string" && ["pattern", "format", "maxLength", "allOf"].some((rule) => schema[rule] !== undefined);
}
