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
  const entries = Array.isArray(value)
    ? value.map((item, index) => [String(index), item] as const)
    : Object.entries(value as Record<string, JsonValue>);
  if (entries.length === 0) return { [path]: Array.isArray(value) ? "[]" : "{}" };
  return Object.assign(
    {},
    ...entries.filter(([, item]) => item !== undefined).map(([key, item]) => flattenOptions(item as JsonValue, `${path}.${key}`)),
  ) as StepInputs;
}

/** What differs, in order of the inputs' names. `parent` is left out: it is a reason of its own. */
export function changedInputs(before: StepInputs, after: StepInputs): readonly InputChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names
    .filter((name) => name !== "parent" && before[name] !== after[name])
    .map((name) => ({ input: name, ...shownPair(oneLine(before[name]), oneLine(after[name])) }));
}

/** Digests in it are cut to twelve digits: enough for people to tell them apart. */
const oneLine = (value: string | undefined): string =>
  value === undefined ? "(absent)" : value.replaceAll("\n", "⏎").replaceAll(/(sha256:[0-9a-f]{12})[0-9a-f]{52}/g, "$1");

/** Characters of a value that are shown. */
const WIDTH = 80;
/** How much of what is the same is shown before the first difference. */
const LEAD = 24;

/** Of long values the part around the first difference, in both the same. */
function shownPair(before: string, after: string): { readonly before: string; readonly after: string } {
  if (before.length <= WIDTH && after.length <= WIDTH) return { before, after };
  let first = 0;
  while (first < before.length && before[first] === after[first]) first++;
  const start = Math.max(0, first - LEAD);
  const cut = (text: string): string =>
    `${start === 0 ? "" : "…"}${text.slice(start, start + WIDTH - 2)}${text.length > start + WIDTH - 2 ? "…" : ""}`;
  return { before: cut(before), after: cut(after) };
}

/** Chains diffs: the name of a file system made of exactly these diffs in this order. */
export type ChainId = Sha256 | "scratch";
