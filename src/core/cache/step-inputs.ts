import type { InputChange } from "../events.ts";
import type { JsonValue } from "../json.ts";
import type { Sha256 } from "../digest.ts";

/**
 * Everything that the result of a step depends on, flat: input name → value. Small values stand as they are, large ones
 * as a digest. Its canonical JSON is what the cache key hashes; two of them are compared to say what changed.
 *
 * Names: `parent`, `step`, `architecture`, `epoch`, `network`, `builder`, `timeZone`…, `option.<path>`, `file.<path>`, `package.<name>`,
 * `lent.<name>`, `download.<url>`, `recorded.<method url>`, `secret.<name>` (presence only, never the value).
 */
export type StepInputs = Readonly<Record<string, string>>;

/** Raise it when the engine itself starts giving other results for equal inputs (normalisation, environment, tar form). */
export const ENGINE_VERSION = 1;

/** Flattens options to `option.a.0.b` → JSON text of the leaf. */
export function flattenOptions(value: JsonValue, path = "option"): StepInputs {
  if (value === null || typeof value !== "object") return { [path]: typeof value === "string" ? value : JSON.stringify(value) };
  const entries = Array.isArray(value) ? value.map((item, index) => [String(index), item] as const) : Object.entries(value as Record<string, JsonValue>);
  if (entries.length === 0) return { [path]: Array.isArray(value) ? "[]" : "{}" };
  return Object.assign({}, ...entries.filter(([, item]) => item !== undefined).map(([key, item]) => flattenOptions(item as JsonValue, `${path}.${key}`))) as StepInputs;
}

/** What differs, in order of the inputs' names. `parent` is left out: it is a reason of its own. */
export function changedInputs(before: StepInputs, after: StepInputs): readonly InputChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names
    .filter((name) => name !== "parent" && before[name] !== after[name])
    .map((name) => ({ input: name, before: shown(before[name]), after: shown(after[name]) }));
}

const shown = (value: string | undefined): string => {
  if (value === undefined) return "(absent)";
  const digest = /^sha256:([0-9a-f]{12})[0-9a-f]{52}$/.exec(value);
  if (digest) return `sha256:${digest[1]}`;
  const line = value.replaceAll("\n", "⏎");
  return line.length > 80 ? `${line.slice(0, 77)}…` : line;
};

/** Chains diffs: the name of a file system made of exactly these diffs in this order. */
export type ChainId = Sha256 | "scratch";
