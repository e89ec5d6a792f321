import type { z } from "zod";
import { didYouMean, suggestion } from "../text/did-you-mean.ts";
import { describeValue, quote, showPath } from "./describe-value.ts";
import { check } from "./explain-issues.ts";
import type { Finding } from "./explain-issues.ts";
import { MAX_PROBLEMS } from "./problems.ts";
import type { RecipeProblem } from "./problems.ts";
import type { YamlSource } from "./read-yaml.ts";
import type { ValuePath } from "../expression/substitute.ts";

/** Collects what is wrong with a recipe and gives each finding its place in the text. */
export class Inspection {
  readonly problems: RecipeProblem[] = [];
  readonly yaml: YamlSource;
  readonly file: string;

  constructor(yaml: YamlSource, file: string) {
    this.yaml = yaml;
    this.file = file;
  }

  get failed(): boolean {
    return this.problems.some((problem) => problem.severity === "error");
  }

  error(path: ValuePath, message: string, hint?: string, at: "key" | "value" = "value"): void {
    this.#add("error", { path, at, message, ...(hint === undefined ? {} : { hint }) }, path);
  }

  /** Like error, about a part of a text. */
  errorInside(path: ValuePath, pattern: RegExp, message: string, hint: string): void {
    const place = this.yaml.positionInside(path, pattern);
    this.problems.push({ severity: "error", file: this.file, ...place, message: `${showPath(path)}: ${message}`, hint });
  }

  warn(path: ValuePath, message: string, hint?: string): void {
    this.#add("warning", { path, at: "key", message, ...(hint === undefined ? {} : { hint }) }, path);
  }

  /** @param base  where the checked value stands in the recipe */
  findings(findings: readonly Finding[], base: ValuePath): void {
    for (const finding of findings) {
      const path = [...base, ...finding.path];
      const unknown = finding.at === "key" && finding.missing === undefined;
      this.#add("error", this.#withSource({ ...finding, path }), unknown ? path.slice(0, -1) : path);
    }
  }

  /** Checks a value with a schema; the output if it fits, else nothing and the findings are kept. */
  check<Schema extends z.ZodType>(schema: Schema, value: unknown, path: ValuePath): z.output<Schema> | undefined {
    const checked = check(schema, value);
    if (checked.ok) return checked.value;
    this.findings(checked.findings, path);
    return undefined;
  }

  /** The number 1.10 is 1.1: the hint shows what is written, not what became of it. */
  #withSource(finding: Finding): Finding {
    if (finding.hint !== "put it in quotes") return finding;
    const written = this.yaml.writtenAs(finding.path);
    return written === undefined ? finding : { ...finding, hint: `put it in quotes: "${written}"` };
  }

  /** @param shown  the path that the message starts with */
  #add(severity: RecipeProblem["severity"], finding: Finding, shown: ValuePath): void {
    if (this.yaml.broken.has(finding.path.join("\0"))) return;
    const place = finding.at === "key" ? this.yaml.keyPositionOf(finding.path) : this.yaml.positionOf(finding.path);
    const message = shown.length === 0 ? finding.message : `${showPath(shown)}: ${finding.message}`;
    this.problems.push({ severity, file: this.file, ...place, message, ...(finding.hint === undefined ? {} : { hint: finding.hint }) });
  }
}

type Fields = Readonly<Record<string, z.ZodType>>;
type Outputs<F extends Fields> = { readonly [Key in keyof F]?: z.output<F[Key]> };

/**
 * Checks the members of a mapping one by one, so that a mistake in one does not hide those in another.
 *
 * @param ignore  keys that start with it are left alone
 * @returns the members that fit; nothing at all if the value is no mapping
 */
export function readFields<F extends Fields>(
  inspection: Inspection,
  value: unknown,
  path: ValuePath,
  fields: F,
  ignore = "",
): Outputs<F> | undefined {
  if (!isMapping(value)) {
    inspection.error(path, `expected a mapping, found ${describeValue(value)}`, `keys here: ${Object.keys(fields).join(", ")}`);
    return undefined;
  }
  const found: Record<string, unknown> = {};
  tellUnknownKeys(inspection, value, path, Object.keys(fields), ignore);
  const isTold = lazily(() => meantKeys(value, fields));
  for (const [key, schema] of Object.entries(fields)) {
    const checked = check(schema, Object.hasOwn(value, key) ? value[key] : undefined);
    if (checked.ok) found[key] = checked.value;
    else if (Object.hasOwn(value, key)) inspection.findings(checked.findings, [...path, key]);
    else if (!isTold().has(key)) inspection.error(path, `"${key}" is missing`, schema.description, "key");
  }
  return found as Outputs<F>;
}

/** Tells each key that is not known. */
function tellUnknownKeys(inspection: Inspection, value: Mapping, path: ValuePath, known: readonly string[], ignore: string): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key) || (ignore !== "" && key.startsWith(ignore))) continue;
    const hint = suggestion(key, known, "keys here");
    inspection.findings([{ path: [key], at: "key", message: `unknown key ${quote(key)}`, ...(hint === undefined ? {} : { hint }) }], path);
  }
}

/** Whether the mapping has the key, or one that was probably meant to be it (which is told already). */
export const hasOrMeans = (value: Mapping, key: string, fields: Fields): boolean =>
  Object.hasOwn(value, key) || meantKeys(value, fields).has(key);

/** The known keys that unknown ones were probably meant to be. */
function meantKeys(value: Mapping, fields: Fields): ReadonlySet<string | undefined> {
  const known = Object.keys(fields);
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  return new Set(unknown.slice(0, MAX_PROBLEMS).map((key) => didYouMean(key, known)));
}

function lazily<T>(compute: () => T): () => T {
  let value: { readonly computed: T } | undefined;
  return () => (value ??= { computed: compute() }).computed;
}

export type Mapping = Readonly<Record<string, unknown>>;

export const isMapping = (value: unknown): value is Mapping => typeof value === "object" && value !== null && !Array.isArray(value);
