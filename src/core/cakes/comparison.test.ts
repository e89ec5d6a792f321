import { describe, expect, it } from "vitest";
import type { Cake } from "../recipe/model.ts";
import { figuresOf, mirrorText, type CakeComparison, type LaunchedCake, type MirrorState } from "./comparison.ts";
import { comparisonPage } from "./page.ts";

const cake = (name: Cake, mirror: MirrorState): LaunchedCake => ({ recipe: `shop-${name}`, cake: name, platform: "cell", mirror });
const ready = (readyMs: number, fetchedBytes = 0) => ({ readyMs, fetchedBytes });

describe("the figures of a cake", () => {
  it("are values that were measured", () => {
    const runs = [500, 400, 900, 600].map((ms) => ready(ms, ms * 10));
    expect(figuresOf(cake("baked", { kind: "good" }), runs)).toMatchObject({
      medianMs: 500,
      p95Ms: 900,
      fetchedBytes: 5000,
      failures: 0,
    });
  });

  it("leave those out that never were ready, and count them", () => {
    const runs = [ready(700), { fetchedBytes: 10, failure: "it ended" }];
    expect(figuresOf(cake("boot", { kind: "broken" }), runs)).toMatchObject({ medianMs: 700, p95Ms: 700, failures: 1 });
    const none = figuresOf(cake("boot", { kind: "broken" }), [{ fetchedBytes: 10, failure: "it ended" }]);
    expect([none.medianMs, none.p95Ms, none.fetchedBytes]).toEqual([undefined, undefined, 10]);
  });
});

describe("the page", () => {
  const comparison: CakeComparison = {
    figures: [
      figuresOf(cake("baked", { kind: "good" }), [ready(480), ready(520)]),
      figuresOf({ ...cake("boot", { kind: "slow", kBPerSecond: 500 }), platform: "vm" }, [ready(64_000, 18e6), ready(70_000, 18e6)]),
      figuresOf(cake("boot", { kind: "broken" }), [
        { fetchedBytes: 1, failure: "failed: <app>.service" },
        { fetchedBytes: 1, failure: "failed: <app>.service" },
      ]),
    ],
  };
  const page = comparisonPage(comparison);

  it("loads nothing from anywhere", () => {
    expect(page.match(/https?:|src=|href=|@import|url\(/g)).toBeNull();
  });

  it("shows each cake as a bar and a row, those that were never ready too", () => {
    expect(page.match(/<rect /g)).toHaveLength(2);
    expect(page).toContain("never ready");
    expect(page).toContain("2 of 2");
    expect(page).toContain("18.0 MB");
    expect(mirrorText({ kind: "slow", kBPerSecond: 500 })).toBe("slow mirror (500 kB/s)");
  });

  it("has a chart for each platform, since they are no measure of each other", () => {
    expect(page.match(/<svg /g)).toHaveLength(2);
    expect(page.match(/as a (cell|virtual machine), from nothing/g)).toHaveLength(2);
  });

  it("shows what machines said as text", () => {
    expect(page).not.toContain("<app>");
    expect(page).toContain("failed: &#60;app&#62;.service");
  });
});
