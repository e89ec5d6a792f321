import { z } from "zod";
import { cut, listed } from "./words.ts";

const sample = z.tuple([z.number(), z.string()]);
const answered = z.discriminatedUnion("status", [
  z.object({
    status: z.literal("success"),
    warnings: z.array(z.string()).optional(),
    data: z.discriminatedUnion("resultType", [
      z.object({ resultType: z.literal("vector"), result: z.array(z.object({ value: sample.optional() })) }),
      z.object({ resultType: z.literal("matrix"), result: z.array(z.object({ values: z.array(sample).optional() })) }),
      z.object({ resultType: z.literal("scalar"), result: sample }),
    ]),
  }),
  z.object({ status: z.literal("error"), errorType: z.string().default("error"), error: z.string().default("without a word") }),
]);

/** What `/api/v1/query` answered: every sample of a vector or matrix, or the scalar. Texts are no numbers. */
export type PrometheusAnswer = { readonly problem: string } | { readonly numbers: readonly number[]; readonly doubt?: string };

/** @see the HTTP API of Prometheus, "Instant queries" and "Expression query result formats"; NaN, +Inf and -Inf are texts there */
export function readPrometheusAnswer(body: unknown): PrometheusAnswer {
  const read = answered.safeParse(body);
  if (!read.success) return { problem: "this is no answer of the Prometheus HTTP API" };
  if (read.data.status === "error") return { problem: cut(`${read.data.errorType}: ${read.data.error}`) };
  const { data, warnings = [] } = read.data;
  const texts =
    data.resultType === "scalar"
      ? [data.result]
      : data.resultType === "vector"
        ? data.result.map(({ value }) => value)
        : data.result.flatMap(({ values }) => values ?? [undefined]);
  const numbers = texts.map((pair) => numberOf(pair?.[1]));
  // a part of the data may be missing, as when one of several servers is away
  return { numbers, ...(warnings.length === 0 ? {} : { doubt: `it warns: ${listed(warnings, (warning) => warning)}` }) };
}

/** A native histogram has no value, and is no number here. */
function numberOf(text: string | undefined): number {
  if (text === undefined || text.trim() === "") return Number.NaN;
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}
