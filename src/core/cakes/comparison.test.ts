import { describe, expect, it } from "vitest";
import { figuresOf, mirrorText, type CakeComparison } from "./comparison.ts";
import { comparisonPage } from "./page.ts";

const ready = (readyMs: number, fetchedBytes = 0) => ({ readyMs, fetchedBytes });

describe("the figures of a cake", () => {
  it("are values that were measured", () => {
    const runs = [500, 400, 900, 600].map((ms) => ready(ms, ms * 10));
    expect(figuresOf("shop", "baked", { kind: "good" }, runs)).toMatchObject({
      medianMs: 500,
      p95Ms: 900,
      fetchedBytes: 5000,
      failures: 0,
    });
  });

  it("leave those out that never were ready, and count them", () => {
    const runs = [ready(700), { fetchedBytes: 10, failure: "it ended" }];
    expect(figuresOf("shop", "boot", { kind: "broken" }, runs)).toMatchObject({ medianMs: 700, p95Ms: 700, failures: 1 });
    const none = figuresOf("shop", "boot", { kind: "broken" }, [{ fetchedBytes: 10, failure: "it ended" }]);
    expect([none.medianMs, none.p95Ms, none.fetchedBytes]).toEqual([undefined, undefined, 10]);
  });
});

describe("the page", () => {
  const comparison: CakeComparison = {
    as: "cell",
    runs: 2,
    figures: [
      figuresOf("shop-baked", "baked", { kind: "good" }, [ready(480), ready(520)]),
      figuresOf("shop-boot", "boot", { kind: "slow", kBPerSecond: 500 }, [ready(64_000, 18e6), ready(70_000, 18e6)]),
      figuresOf("shop-boot", "boot", { kind: "broken" }, [
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

  it("shows what machines said as text", () => {
    expect(page).not.toContain("<app>");
    expect(page).toContain("failed: &#60;app&#62;.service");
  });
});
