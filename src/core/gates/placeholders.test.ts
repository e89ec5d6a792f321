import { expect, it, test } from "vitest";
import { fillQuery, fillUrl, isForEachInstance } from "./placeholders.ts";

const web = [
  { id: "web-1", address: "10.0.0.1:80" },
  { id: "web-2.b", address: "[::1]:80" },
];

test.each([
  ['up{instance=~"{{instances}}"}', web, { query: 'up{instance=~"web-1|web-2[.]b"}', names: ["web-1", "web-2.b"] }],
  ['up{instance=~"{{ addresses }}"}', web.slice(0, 1), { query: 'up{instance=~"10[.]0[.]0[.]1:80"}', names: ["10.0.0.1:80"] }],
  ['up{instance=~"{{addresses}}"}', web, { problem: '"[::1]:80" cannot stand in a query' }],
  ['up{instance=~"{{addresses}}"}', [{ id: "a" }], { problem: "not every instance has an address" }],
  ['up{x=~"{{instances}}"}', [{ id: 'a"} or vector(0)' }], { problem: '"a\\"} or vector(0)" cannot stand in a query' }],
  ["rate(x[{{window}}])", [], { query: "rate(x[90s])", names: [] }],
  ["sum by (a) (x{b='{{c}}'})", [], { query: "sum by (a) (x{b='{{c}}'})", names: [] }],
])("%s", (query, instances, filled) => expect(fillQuery(query, instances, 90_500)).toEqual(filled));

it("has a window of a second at least", () => {
  expect(fillQuery("x[{{window}}]", [], 10)).toEqual({ query: "x[1s]", names: [] });
});

it("fills URLs for each instance", () => {
  expect(fillUrl("http://{{address}}/stats/{{instance}}", { id: "a/b", address: "h:80" })).toEqual({ url: "http://h:80/stats/a%2Fb" });
  expect(fillUrl("http://{{address}}/", { id: "a" })).toEqual({ problem: "it has no address" });
  expect(fillUrl("http://{{address}}/", { id: "a", address: "evil/#" })).toEqual({ problem: "it has no address" });
  expect(isForEachInstance("http://metrics/{{instance}}")).toBe(true);
  expect(isForEachInstance("http://metrics/all")).toBe(false);
});
