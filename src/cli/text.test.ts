import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { count, fit, formatBytes, formatDuration, table, widthOf } from "./text.ts";

describe("formatBytes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [9949, "9.9 kB"],
    [9950, "10 kB"],
    [999_499, "999 kB"],
    [999_500, "1.0 MB"],
    [52_428_800, "52 MB"],
    [8_589_934_592, "8.6 GB"],
  ])("%i is %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe("formatDuration", () => {
  it.each([
    [0, "0 ms"],
    [99, "99 ms"],
    [100, "0.10 s"],
    [994, "0.99 s"],
    [996, "1.0 s"],
    [9_940, "9.9 s"],
    [9_960, "10 s"],
    [99_000, "99 s"],
    [99_600, "1 min 40 s"],
    [119_900, "2 min 00 s"],
    [3_725_000, "62 min 05 s"],
  ])("%i ms is %s", (ms, text) => expect(formatDuration(ms)).toBe(text));
});

describe("fit", () => {
  it("counts wide characters twice and escape codes not at all", () => {
    expect(widthOf("\u001b[31mrot\u001b[39m")).toBe(3);
    expect(widthOf("画像🍞")).toBe(6);
  });

  it("never takes more columns than given", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 40 }),
        fc.integer({ min: 0, max: 30 }),
        (text, width) => widthOf(fit(text, width)) <= width,
      ),
    );
  });
});

describe("table", () => {
  const columns = [
    { title: "layer", minimum: 6 },
    { title: "size", align: "right" },
    { title: "why", minimum: 5 },
  ] as const;
  const rows = [
    ["foundation", "98 MB", "not baked before"],
    ["base", "1.2 MB", "recipe changed"],
  ];

  it("lines up", () => {
    expect(table(columns, rows, { width: Infinity })).toBe(
      "layer         size  why\nfoundation   98 MB  not baked before\nbase        1.2 MB  recipe changed\n",
    );
  });

  it("cuts the widest columns first when the terminal is narrow", () => {
    const lines = table(columns, rows, { width: 30 }).trimEnd().split("\n");
    expect(Math.max(...lines.map(widthOf))).toBe(30);
    expect(lines[1]).toBe("foundation   98 MB  not baked…");
  });

  it("never cuts below the minimum, nor columns without one", () => {
    expect(table(columns, rows, { width: 5 }).split("\n")[1]).toBe("found…   98 MB  not …");
  });

  it("leaves out what can be missed before anything else is cut below its minimum", () => {
    const dispensable = columns.map((column, index) => (index === 1 ? { ...column, dispensable: 1 } : column));
    expect(table(dispensable, rows, { width: 20 }).split("\n")[1]).toBe("foundati…  not bake…");
    expect(table(dispensable, rows, { width: Infinity }).split("\n")[1]).toBe(table(columns, rows, { width: Infinity }).split("\n")[1]);
  });

  it("is empty without rows", () => expect(table(columns, [], { width: 80 })).toBe(""));
});

it("count", () => expect([count(1, "step"), count(2, "step"), count(0, "entry", "entries")]).toEqual(["1 step", "2 steps", "0 entries"]));
