import { z } from "zod";
import type { ValuePath } from "../expression/substitute.ts";
import {
  isProbed,
  type Bound,
  type Comparison,
  type Expected,
  type GateProbe,
  type HeaderValue,
  type LogProbe,
  type RolloutGate,
  type Wanted,
} from "../gates/model.ts";
import { placeholdersIn, QUERY_PLACEHOLDERS, URL_PLACEHOLDERS } from "../gates/placeholders.ts";
import { readValuePath } from "../gates/value-path.ts";
import type { AskAgain, People } from "../rollout/policy.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { readPattern } from "../text/pattern.ts";
import { readWindows, windowFields } from "./cycle-section.ts";
import { describeValue, quote } from "./describe-value.ts";
import { DURATION, LONG_DURATION, parseDuration } from "./duration.ts";
import { hasOrMeans, isMapping, readFields, type Inspection, type Mapping } from "./inspect.ts";
import { nameSchema } from "./schema.ts";

/** A day: whoever looks back longer looks at other rollouts. */
const MAX_TIME_MS = 86_400_000;
const TIME_RULE = "must be a time such as 500ms, 30s or 5m, at most 24h";
const timeSchema = z
  .string(TIME_RULE)
  .regex(DURATION, { error: TIME_RULE, abort: true })
  .refine((text) => parseDuration(text) > 0 && parseDuration(text) <= MAX_TIME_MS, TIME_RULE);

const PERCENT = /^(\d+(?:\.\d+)?)\s*%$/;
const percentOf = (text: string): number => Number(PERCENT.exec(text)?.[1]);

/** A week of asking every minute, rounded up. */
const count = () => z.int().min(0).max(11_000);
const againFields = {
  every: timeSchema.describe("Time between two questions: 30s"),
  failed: count().optional().describe("So many failed answers are passed over, one more counts. 0 if absent"),
  error: count().optional().describe("So many errors in a row are passed over. 0 if absent"),
  inconclusive: count().optional().describe("So many inconclusive answers are passed over. 0 if absent"),
};

const FALSE_ALARMS_RULE = "must be a share such as 1% or 0.5%, more than 0 and at most 20%";
const compareFields = {
  worse: z.enum(["up", "down", "either"]).describe("The direction that is bad: up for latency, down for throughput, either"),
  tolerance: z
    .union([z.number().min(0), z.string().regex(PERCENT, "must be a number, or a share such as 10%")])
    .optional()
    .describe("So much worse is still good: a number in the unit of the values, or a share of the untouched ones' median. 0 if absent"),
  falseAlarms: z
    .string(FALSE_ALARMS_RULE)
    .regex(PERCENT, { error: FALSE_ALARMS_RULE, abort: true })
    .refine((text) => percentOf(text) > 0 && percentOf(text) <= 20, FALSE_ALARMS_RULE)
    .optional()
    .describe("How often it may fail although nothing is worse. 1% if absent"),
  minSamples: z
    .int()
    .min(2)
    .max(1_000_000)
    .optional()
    .describe("Values that each side must have, under which there is no verdict. 10 if absent, or 100 requests"),
};

const limitFields = {
  below: z.number().optional().describe("Every value must be less"),
  above: z.number().optional().describe("Every value must be more"),
  between: z.tuple([z.number(), z.number()]).optional().describe("Every value must be one of these two or lie between them: [1, 5]"),
  compare: z.strictObject(compareFields).optional().describe("Values of moved instances must not be worse than those of untouched ones"),
};

const URL_RULE = "must be an http or https URL without a password";
const urlSchema = z
  .string(URL_RULE)
  .regex(/^https?:\/\/[^\s/@?#]+(?:[/?#][^\s]*)?$/, URL_RULE)
  .max(2000);
const headersSchema = z
  .record(
    z.string().regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, "must be the name of a header"),
    z.union([z.string().regex(/^[^\r\n\0]*$/, "must be one line"), z.strictObject({ secret: z.string() })]),
  )
  .optional()
  .describe("Headers of the request; { secret: name } takes a secret of the recipe");
const askFields = { headers: headersSchema, timeout: timeSchema.optional().describe("How long an answer may take. 10s if absent") };

const pathSchema = z
  .string()
  .refine((text) => readValuePath(text) !== undefined, 'must be a path into JSON, such as http.errors or a[0]["b.c"]');

const httpFields = {
  url: urlSchema.optional().describe("Asked once; with {{instance}} or {{address}} once for each instance"),
  path: z
    .string()
    .regex(/^\/[^\s]*$/, "must be the path of a URL, such as /stats")
    .optional()
    .describe("Asked of each instance itself"),
  port: z.int().min(1).max(65_535).optional().describe("Port of the instances for path; that of the traffic, or 80, if absent"),
  value: pathSchema.optional().describe("Where the number (or a list of numbers) stands in the JSON answer: a.b[0].c"),
  errors: pathSchema.optional().describe("Where the number of failed requests stands, to compare shares"),
  requests: pathSchema.optional().describe("Where the number of all requests stands"),
  ...limitFields,
  ...askFields,
};

const querySchema = z.string().min(1).max(10_000);
const prometheusFields = {
  server: urlSchema.describe("URL of the server, before /api/v1/query"),
  query: querySchema.optional().describe("PromQL; {{instances}}, {{addresses}} and {{window}} are filled in"),
  errors: querySchema.optional().describe("PromQL for the number of failed requests, to compare shares"),
  requests: querySchema.optional().describe("PromQL for the number of all requests"),
  window: timeSchema.optional().describe("What {{window}} is at most; never longer than instances have been moved. 5m if absent"),
  ...limitFields,
  ...askFields,
};

const logFields = {
  pattern: z.string().min(1).max(1000).describe("Regular expression that is found in bad lines"),
  unit: z
    .string()
    .regex(/^[\w:.@\\-]+$/, "must be the name of a systemd unit")
    .optional()
    .describe("Only lines of this systemd unit"),
  atMost: z.int().min(0).optional().describe("So many lines may match, of all moved instances together. 0 if absent"),
  lines: z.int().min(1).max(100_000).optional().describe("The newest lines of each instance that are read. 2000 if absent"),
  example: z.string().min(1).max(1000).optional().describe("A line that the pattern must find, for the self-test"),
};

const WITHIN_RULE = "must be a time such as 30m, 4h or 2d, more than 0";
const approvalFields = {
  count: z.int().min(1).max(100).optional().describe("So many must approve, others than whoever started the rollout. 1 if absent"),
  waves: z
    .array(z.int().min(1))
    .min(1)
    .optional()
    .describe("After these waves, from 1. After all but the last if absent, and before blue/green switches"),
  within: z
    .string(WITHIN_RULE)
    .regex(LONG_DURATION, { error: WITHIN_RULE, abort: true })
    .refine((text) => parseDuration(text) > 0, WITHIN_RULE)
    .optional()
    .describe("Later is inconclusive. It waits for ever if absent"),
};

const PROBES = ["http", "prometheus", "log", "windows"] as const;
const KINDS = [...PROBES, "approvals"] as const;

const unanswered = () => z.enum(["hold", "halt"], 'must be "hold" or "halt": to go on is not possible');
const commonFields = {
  name: nameSchema.describe("Unique among the gates of a rollout"),
  onError: unanswered().describe("When there is no answer: hold or halt"),
  onInconclusive: unanswered().describe("When the answers do not decide: hold or halt"),
};

/** The shape of one gate, for editors. */
export const gateSchema = z.strictObject({
  ...commonFields,
  again: z.strictObject(againFields).optional().describe("Ask again before a bad answer counts; the first counts if absent"),
  http: z.strictObject(httpFields).optional().describe("A number in a JSON answer"),
  prometheus: z.strictObject(prometheusFields).optional().describe("A query to the HTTP API of Prometheus"),
  log: z.strictObject(logFields).optional().describe("Lines in the journals of moved instances"),
  windows: z.array(z.strictObject(windowFields)).min(1).optional().describe("Goes on only while one of these maintenance windows is open"),
  approvals: z.strictObject(approvalFields).optional().describe("Goes on when people have approved the wave"),
});

/** What gates refer to. */
export interface GateContext {
  /** Port of the instances that traffic goes to. */
  readonly port?: number;
  /** Names of the recipe's secrets. */
  readonly secrets: readonly string[];
}

/** Reads a list of gates. Mistakes are told to the inspection; a gate with one is left out. */
export function readGates(inspection: Inspection, value: unknown, path: ValuePath, context: GateContext): readonly RolloutGate[] {
  if (!Array.isArray(value)) {
    inspection.error(path, `expected a list, found ${describeValue(value)}`, "- { name: errors, onError: hold, onInconclusive: hold, … }");
    return [];
  }
  const names = new Set<string>();
  return value.flatMap((item: unknown, index) => {
    const gate = readGate(inspection, item, [...path, index], context);
    const name = isMapping(item) ? item["name"] : undefined;
    if (typeof name !== "string") return gate ?? [];
    if (names.has(name)) inspection.error([...path, index, "name"], `there is a gate ${quote(name)} already`);
    names.add(name);
    return gate ?? [];
  });
}

/** Secrets that gates name in headers. */
export const secretsOfGates = (gates: readonly RolloutGate[]): readonly string[] =>
  gates.filter(isProbed).flatMap(({ probe }) => {
    const headers = headersOf(probe);
    return Object.values(headers).flatMap((value) => (typeof value === "string" ? [] : [value.secret]));
  });

function headersOf(probe: GateProbe): Readonly<Record<string, HeaderValue>> {
  if (probe.kind === "prometheus") return probe.headers;
  return probe.kind === "http" && "headers" in probe.at ? probe.at.headers : {};
}

function readGate(inspection: Inspection, value: unknown, path: ValuePath, context: GateContext): RolloutGate | undefined {
  const anything = z.unknown();
  const fields = readFields(inspection, value, path, {
    ...gateSchema.shape,
    again: anything,
    http: anything,
    prometheus: anything,
    log: anything,
    windows: anything,
    approvals: anything,
  });
  if (fields === undefined || !isMapping(value)) return undefined;
  const again = Object.hasOwn(value, "again") ? readAgain(inspection, value["again"], [...path, "again"]) : "absent";
  const asked = readAsked(inspection, value, path, context);
  if (again !== "absent" && Object.hasOwn(value, "approvals"))
    inspection.error([...path, "again"], "is not possible with approvals: they are waited for", undefined, "key");
  const { name, onError, onInconclusive } = fields;
  if (again === undefined || asked === undefined || name === undefined || onError === undefined || onInconclusive === undefined)
    return undefined;
  return { ...{ name, onError, onInconclusive }, ...(again === "absent" ? {} : { again }), ...asked };
}

function readAgain(inspection: Inspection, value: unknown, path: ValuePath): AskAgain | undefined {
  const fields = readFields(inspection, value, path, againFields);
  if (fields?.every === undefined) return undefined;
  const { every, failed = 0, error = 0, inconclusive = 0 } = fields;
  return { everyMs: parseDuration(every), allowed: { failed, error, inconclusive } };
}

/** What a gate asks, or whom. */
type Asked = { readonly probe: GateProbe } | { readonly people: People };

function readAsked(inspection: Inspection, value: Mapping, path: ValuePath, context: GateContext): Asked | undefined {
  const isOne = hasExactlyOne(inspection, value, path, KINDS, gateSchema.shape, "log: { pattern: panic }");
  const probes = PROBES.filter((kind) => Object.hasOwn(value, kind)).map((kind) =>
    readKind[kind](inspection, value[kind], [...path, kind], context),
  );
  const people = Object.hasOwn(value, "approvals") ? readPeople(inspection, value["approvals"], [...path, "approvals"]) : undefined;
  const [probe] = probes;
  if (!isOne) return undefined;
  return probe === undefined ? people && { people } : { probe };
}

function readPeople(inspection: Inspection, value: unknown, path: ValuePath): People | undefined {
  const fields = readFields(inspection, value, path, approvalFields);
  if (fields === undefined) return undefined;
  const { count: approvals = 1, waves, within } = fields;
  return { approvals, ...(waves === undefined ? {} : { waves }), ...(within === undefined ? {} : { withinMs: parseDuration(within) }) };
}

/** Tells it when a mapping has none or several of some keys; not when one is misspelt, which is told already. */
function hasExactlyOne(
  inspection: Inspection,
  value: Mapping,
  path: ValuePath,
  keys: readonly string[],
  fields: Readonly<Record<string, z.ZodType>>,
  hint: string,
): boolean {
  const present = keys.filter((key) => Object.hasOwn(value, key)).length;
  if (present > 1 || !keys.some((key) => hasOrMeans(value, key, fields)))
    inspection.error(path, `needs exactly one of ${keys.slice(0, -1).join(", ")} and ${keys.at(-1)}`, hint, "key");
  return present === 1;
}

type ReadKind = (inspection: Inspection, value: unknown, path: ValuePath, context: GateContext) => GateProbe | undefined;

const readKind: Readonly<Record<(typeof PROBES)[number], ReadKind>> = {
  http: (inspection, value, path, { port, secrets }) => {
    const fields = readFields(inspection, value, path, { ...httpFields, compare: z.unknown() });
    if (fields === undefined || !isMapping(value)) return undefined;
    const wanted = readWanted(inspection, value, path, "value", fields);
    const expected = readExpected(inspection, value, path, fields);
    checkPlaceholders(inspection, [...path, "url"], fields.url, URL_PLACEHOLDERS);
    checkSecrets(inspection, path, fields.headers, secrets);
    hasExactlyOne(inspection, value, path, ["url", "path"], httpFields, "path: /stats");
    for (const key of ["port", "headers"] as const)
      if (fields[key] !== undefined && Object.hasOwn(value, key === "port" ? "url" : "path"))
        inspection.error([...path, key], `is not possible with ${key === "port" ? "url" : "path"}`, undefined, "key");
    if (fields.url !== undefined && isCompared(value) && placeholdersIn(fields.url).length === 0)
      inspection.error([...path, "url"], "is the same for moved and untouched instances", "put {{instance}} or {{address}} into it");
    const at =
      fields.url !== undefined
        ? { url: fields.url, headers: fields.headers ?? {} }
        : fields.path === undefined
          ? undefined
          : { path: fields.path, port: fields.port ?? port ?? 80 };
    if (wanted === undefined || expected === undefined || at === undefined) return undefined;
    return { kind: "http", at, wanted, expected, timeoutMs: timeoutOf(fields) };
  },
  prometheus: (inspection, value, path, { secrets }) => {
    const fields = readFields(inspection, value, path, { ...prometheusFields, compare: z.unknown() });
    if (fields === undefined || !isMapping(value)) return undefined;
    const wanted = readWanted(inspection, value, path, "query", { ...fields, value: fields.query });
    const expected = readExpected(inspection, value, path, fields);
    for (const key of ["query", "errors", "requests"] as const) {
      const query = fields[key];
      checkPlaceholders(inspection, [...path, key], query, QUERY_PLACEHOLDERS);
      if (query !== undefined && isCompared(value) && !placeholdersIn(query).some((name) => name !== "window"))
        inspection.error([...path, key], "is the same for moved and untouched instances", 'put instance=~"{{instances}}" into it');
    }
    checkPlaceholders(inspection, [...path, "server"], fields.server, []);
    checkSecrets(inspection, path, fields.headers, secrets);
    if (wanted === undefined || expected === undefined || fields.server === undefined) return undefined;
    return {
      ...{ kind: "prometheus", server: fields.server.replace(/\/+$/, ""), headers: fields.headers ?? {}, wanted, expected },
      ...{ windowMs: parseDuration(fields.window ?? "5m"), timeoutMs: timeoutOf(fields) },
    };
  },
  log: (inspection, value, path) => {
    const fields = readFields(inspection, value, path, logFields);
    if (fields?.pattern === undefined) return undefined;
    const { pattern, unit, example, atMost = 0, lines = 2000 } = fields;
    const read = readPattern(pattern);
    if (typeof read === "string") {
      inspection.error([...path, "pattern"], read);
      return undefined;
    }
    const probe: LogProbe = { kind: "log", pattern, atMost, lines };
    return { ...probe, ...(unit === undefined ? {} : { unit }), ...(example === undefined ? {} : { example }) };
  },
  windows: (inspection, value, path) => {
    const windows = readWindows(inspection, value, path);
    if (Array.isArray(value) && value.length === 0) inspection.error(path, "must not be empty");
    return windows.length === 0 ? undefined : { kind: "windows", windows };
  },
};

const timeoutOf = ({ timeout }: { readonly timeout?: string | undefined }): number => parseDuration(timeout ?? "10s");
const isCompared = (value: Mapping): boolean => Object.hasOwn(value, "compare");

interface WantedFields {
  readonly value?: string | undefined;
  readonly errors?: string | undefined;
  readonly requests?: string | undefined;
}

/** One number, or counts of errors and requests. @param word  what the key of the one number is */
function readWanted(
  inspection: Inspection,
  source: Mapping,
  path: ValuePath,
  word: "value" | "query",
  { value, errors, requests }: WantedFields,
): Wanted | undefined {
  const has = (key: string): boolean => Object.hasOwn(source, key);
  const counts = has("errors") || has("requests");
  const isMisspelt = hasOrMeans(source, word, { [word]: z.unknown() }) && !has(word);
  if (has(word) ? counts : !counts || !has("errors") || !has("requests")) {
    if (!isMisspelt) inspection.error(path, `needs ${word}, or both errors and requests`, undefined, "key");
    return undefined;
  }
  if (counts && !isCompared(source)) inspection.error(path, "errors and requests can only be compared", "compare: { worse: up }", "key");
  if (value !== undefined) return { value };
  return errors === undefined || requests === undefined ? undefined : { errors, requests };
}

interface ExpectedFields {
  readonly below?: number | undefined;
  readonly above?: number | undefined;
  readonly between?: readonly [number, number] | undefined;
  readonly compare?: unknown;
}

const LIMITS = ["below", "above", "between", "compare"] as const;

function readExpected(inspection: Inspection, source: Mapping, path: ValuePath, fields: ExpectedFields): Expected | undefined {
  const comparison = isCompared(source) ? readCompare(inspection, source, [...path, "compare"]) : undefined;
  if (!hasExactlyOne(inspection, source, path, LIMITS, limitFields, "below: 0.01")) return undefined;
  if (isCompared(source)) return comparison === undefined ? undefined : { compare: comparison };
  return boundOf(inspection, path, fields);
}

function boundOf(inspection: Inspection, path: ValuePath, { below, above, between }: ExpectedFields): Bound | undefined {
  if (below !== undefined) return { below };
  if (above !== undefined) return { above };
  if (between === undefined) return undefined;
  if (between[0] > between[1]) inspection.error([...path, "between"], "has nothing in it", `[${between[1]}, ${between[0]}]`);
  return { between };
}

function readCompare(inspection: Inspection, source: Mapping, path: ValuePath): Comparison | undefined {
  const fields = readFields(inspection, source["compare"], path, compareFields);
  if (fields?.worse === undefined) return undefined;
  const counts = Object.hasOwn(source, "errors") || Object.hasOwn(source, "requests");
  const { worse, tolerance = 0, falseAlarms = "1%", minSamples = counts ? 100 : 10 } = fields;
  if (counts && typeof tolerance === "number" && tolerance > 0)
    inspection.error([...path, "tolerance"], "must be a share where requests are counted", "tolerance: 10%");
  return {
    ...{ worse, minSamples, falseAlarmsPercent: percentOf(falseAlarms) },
    tolerance: typeof tolerance === "number" ? { by: tolerance } : { percent: percentOf(tolerance) },
  };
}

function checkPlaceholders(inspection: Inspection, path: ValuePath, text: string | undefined, known: readonly string[]): void {
  for (const name of placeholdersIn(text ?? ""))
    if (!known.includes(name)) inspection.error(path, `nothing is known to put in for {{${name}}}`, suggestion(name, known, "here"));
}

function checkSecrets(
  inspection: Inspection,
  path: ValuePath,
  headers: Readonly<Record<string, HeaderValue>> | undefined,
  known: readonly string[],
): void {
  for (const [name, value] of Object.entries(headers ?? {}))
    if (typeof value !== "string" && !known.includes(value.secret))
      inspection.error(
        [...path, "headers", name, "secret"],
        `there is no secret ${quote(value.secret)}`,
        suggestion(value.secret, known, "secrets") ?? "declare it under secrets:",
      );
}
