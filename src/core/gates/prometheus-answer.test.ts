import fc from "fast-check";
import { expect, it, test } from "vitest";
import { readPrometheusAnswer } from "./prometheus-answer.ts";

const success = (resultType: string, result: unknown, more: object = {}) => ({ status: "success", data: { resultType, result }, ...more });

test.each([
  ["a scalar", success("scalar", [1700000000.1, "0.25"]), { numbers: [0.25] }],
  ["an empty vector", success("vector", []), { numbers: [] }],
  [
    "a vector",
    success("vector", [
      { metric: { instance: "a" }, value: [1700000000, "1e-3"] },
      { metric: {}, value: [1700000000, "NaN"] },
      { metric: {}, value: [1700000000, "+Inf"] },
      { metric: {}, value: [1700000000, "-Inf"] },
    ]),
    { numbers: [0.001, Number.NaN, Infinity, -Infinity] },
  ],
  ["a histogram", success("vector", [{ metric: {}, histogram: [1700000000, { count: "60" }] }]), { numbers: [Number.NaN] }],
  [
    "a matrix",
    success("matrix", [{ metric: {}, values: [[1, "1"], [2, "2"]] }, { metric: {}, values: [[1, "3"]] }]), // prettier-ignore
    { numbers: [1, 2, 3] },
  ],
  ["a warning", success("scalar", [1, "1"], { warnings: ["store away"] }), { numbers: [1], doubt: "it warns: store away" }],
  ["an info", success("scalar", [1, "1"], { infos: ["no counter"] }), { numbers: [1] }],
  ["an error", { status: "error", errorType: "bad_data", error: "unclosed\nbrace" }, { problem: "bad_data: unclosed brace" }],
  ["an error without words", { status: "error" }, { problem: "error: without a word" }],
])("%s", (_, body, answer) => expect(readPrometheusAnswer(body)).toEqual(answer));

const NOT_ITS_API = { problem: "this is no answer of the Prometheus HTTP API" };
test.each([null, "ok", [], {}, { status: "success" }, success("string", [1, "x"]), success("vector", [{ value: [1, 2] }])])(
  "%j is no answer",
  (body) => expect(readPrometheusAnswer(body)).toEqual(NOT_ITS_API),
);

const of = (...instances: readonly string[]) =>
  success("vector", instances.map((instance) => ({ metric: { job: "shop", instance }, value: [1, "0"] }))); // prettier-ignore

test.each([
  ["all", of("web-1", "web-2"), ["web-1", "web-2"], undefined],
  ["all, with a port", of("web-1:9100", "10.0.0.1:80"), ["web-1", "10.0.0.1:80"], undefined],
  ["one that is missing", of("web-1"), ["web-1", "web-2", "web-3"], "no samples of web-2, web-3"],
  ["one that only looks like another", of("web-1", "web-20"), ["web-1", "web-2"], "no samples of web-2"],
  ["none, as when it is added up", of("all"), ["web-1", "web-2"], undefined],
  ["none at all", success("vector", []), ["web-1", "web-2"], undefined],
])("of the instances that it names there are %s", (_, body, names, doubt) => {
  const answer = readPrometheusAnswer(body, names);
  expect("doubt" in answer ? answer.doubt : undefined).toBe(doubt);
});

it("takes any JSON", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (body) => {
      expect(readPrometheusAnswer(body)).toEqual(NOT_ITS_API);
    }),
  );
});
