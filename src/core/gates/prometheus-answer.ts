import { z } from "zod";
import { cut, listed } from "./words.ts";

const sample = z.tuple([z.number(), z.string()]);
const metric = z.record(z.string(), z.string()).default({});
const answered = z.discriminatedUnion("status", [
  z.object({
    status: z.literal("success"),
    warnings: z.array(z.string()).optional(),
    data: z.discriminatedUnion("resultType", [
      z.object({ resultType: z.literal("vector"), result: z.array(z.object({ metric, value: sample.optional() })) }),
      z.object({ resultType: z.literal("matrix"), result: z.array(z.object({ metric, values: z.array(sample).optional() })) }),
      z.object({ resultType: z.literal("scalar"), result: sample }),
    ]),
  }),
  z.object({ status: z.literal("error"), errorType: z.string().default("error"), error: z.string().default("without a word") }),
]);

/** What `/api/v1/query` answered: every sample of a vector or matrix, or the scalar. Texts are no numbers. */
export type PrometheusAnswer = { readonly problem: string } | { readonly numbers: readonly number[]; readonly doubt?: string };

/**
 * @param names  instances that the query names. When results carry the label of one, each must have a result; what was added up over
 *               instances carries none, and cannot be checked so
 * @see the HTTP API of Prometheus, "Instant queries" and "Expression query result formats"; NaN, +Inf and -Inf are texts there
 */
export function readPrometheusAnswer(body: unknown, names: readonly string[] = []): PrometheusAnswer {
  const read = answered.safeParse(body);
  if (!read.success) return { problem: "this is no answer of the Prometheus HTTP API" };
  if (read.data.status === "error") return { problem: cut(`${read.data.errorType}: ${read.data.error}`) };
  const { data, warnings = [] } = read.data;
  const results = data.resultType === "scalar" ? [] : data.result;
  const missing = missingOf(names, new Set(results.flatMap((result) => Object.values(result.metric))));
  const doubts = [
    ...(missing.length === 0 ? [] : [`no samples of ${listed(missing, (name) => name)}`]),
    // a part of the data may be missing, as when one of several servers is away
    ...(warnings.length === 0 ? [] : [`it warns: ${listed(warnings, (warning) => warning)}`]),
  ];
  return { numbers: textsOf(data).map(numberOf), ...(doubts.length === 0 ? {} : { doubt: doubts.join(", ") }) };
}

type Data = Extract<z.output<typeof answered>, { status: "success" }>["data"];

function textsOf(data: Data): readonly (string | undefined)[] {
  if (data.resultType === "scalar") return [data.result[1]];
  if (data.resultType === "vector") return data.result.map(({ value }) => value?.[1]);
  return data.result.flatMap(({ values }) => values?.map(([, text]) => text) ?? [undefined]);
}

/** `web-1` is in `web-1` and `web-1:9100`, not in `web-10` or `a-web-1`. */
function missingOf(names: readonly string[], labels: ReadonlySet<string>): readonly string[] {
  const known = new Set([...labels].flatMap((label) => [label, ...label.split(/[^\w.-]+/)]));
  const missing = names.filter((name) => !known.has(name));
  return missing.length === names.length ? [] : missing;
}

/** A native histogram has no value, and is no number here. */
function numberOf(text: string | undefined): number {
  if (text === undefined || text.trim() === "") return Number.NaN;
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}
