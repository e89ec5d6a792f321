import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ImageDigest } from "../digest.ts";
import { judgeRetention, type KeepableImage, type RetentionFacts } from "./judge.ts";
import type { Retention } from "./model.ts";

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 25);
const digest = (number: number): ImageDigest => `sha256:${String(number).padStart(64, "0")}`;

/** `shop/release`, baked so many days ago, on `parents`. */
const image = (number: number, ageDays: number, more: Partial<KeepableImage> = {}): KeepableImage => ({
  digest: digest(number),
  name: "shop/release",
  recipe: "shop",
  layer: "release",
  bakedAtMs: NOW - ageDays * DAY_MS,
  isNamed: false,
  parents: [],
  ...more,
});
const rules = (more: Partial<Retention> = {}): Retention => ({ graceMs: 0, channels: {}, layers: {}, ...more });
const judge = (images: readonly KeepableImage[], more: Partial<RetentionFacts> = {}): Readonly<Record<number, string>> => {
  const judged = judgeRetention({ images, rules: () => undefined, keep: 3, graceMs: 0, pins: new Map(), nowMs: NOW, ...more });
  return Object.fromEntries(
    [...judged].map(([key, judgement]) => [
      Number(key.slice(7)),
      judgement.verdict === "stays"
        ? judgement.why
        : `goes${judgement.untilMs === undefined ? "" : ` in ${(judgement.untilMs - NOW) / DAY_MS} days`}`,
    ]),
  );
};

describe("judgeRetention", () => {
  const five = [image(5, 1, { isNamed: true }), image(4, 10), image(3, 20), image(2, 30), image(1, 40)];

  it("keeps the newest without rules", () => {
    expect(judge(five)).toEqual({
      5: "has a name",
      4: "among the newest 3 of shop/release",
      3: "among the newest 3 of shop/release",
      2: "goes",
      1: "goes",
    });
  });

  it("keeps by number or age, by layer", () => {
    expect(judge(five, { rules: () => rules({ keep: 1, youngerThanMs: 15 * DAY_MS }) })).toMatchObject({
      4: "younger than 15 days",
      3: "goes",
    });
    expect(judge(five, { rules: () => rules({ keep: 1, layers: { release: { keep: 4 } } }) })).toMatchObject({
      2: "among the newest 4 of shop/release",
      1: "goes",
    });
  });

  it("keeps what channels and cells need, and what was brought back", () => {
    const pins = new Map([[digest(1), "cell web runs it"]]);
    expect(judge(five, { keep: 1, pins })).toMatchObject({ 1: "cell web runs it", 2: "goes" });
    expect(judge([...five.slice(0, 4), { ...image(1, 40), restoredAtMs: NOW - DAY_MS }])).toMatchObject({
      1: "was brought back on 2026-11-24",
    });
    expect(judge([...five.slice(0, 4), { ...image(1, 40), restoredAtMs: NOW - 8 * DAY_MS }])).toMatchObject({ 1: "goes" });
  });

  it("lets nothing go of a recipe that cannot be read", () => {
    expect(judge(five, { rules: () => "unreadable" })[1]).toContain("cannot be read");
  });

  it("sets aside what an image that is set aside stands on, for at least as long", () => {
    const base = image(9, 50, { name: "os/base", recipe: "os", layer: "base" });
    const images = [
      image(5, 1, { isNamed: true }),
      image(1, 40, { parents: [digest(9)] }),
      base,
      image(8, 1, { name: "os/base", recipe: "os", isNamed: true }),
    ];
    const grace = (recipe: string): Retention => rules({ keep: 1, graceMs: recipe === "shop" ? 7 * DAY_MS : 0 });
    expect(judge(images, { rules: grace })).toEqual({ 5: "has a name", 1: "goes in 7 days", 9: "goes in 7 days", 8: "has a name" });
  });

  it("never takes away what something that stays stands on, and never the newest", () => {
    const tree = fc.array(
      fc.record({ parent: fc.nat(20), name: fc.constantFrom("a/x", "a/y", "b/x"), age: fc.nat(400), isNamed: fc.boolean() }),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(tree, fc.integer({ min: 1, max: 4 }), fc.nat(3), (nodes, keep, graceDays) => {
        const images = nodes.map(({ parent, name, age, isNamed }, index) =>
          image(index, age, {
            name,
            recipe: name[0] ?? "",
            layer: name.slice(2),
            isNamed,
            parents: parent < index ? [digest(parent)] : [],
          }),
        );
        const judged = judgeRetention({
          images,
          rules: (recipe) => (recipe === "a" ? rules({ keep, graceMs: graceDays * DAY_MS }) : undefined),
          keep,
          graceMs: 0,
          pins: new Map(),
          nowMs: NOW,
        });
        for (const one of images) {
          const own = judged.get(one.digest);
          for (const parent of one.parents) {
            const below = judged.get(parent);
            if (own?.verdict === "stays") expect(below?.verdict).toBe("stays");
            else if (own?.untilMs !== undefined && below?.verdict === "goes")
              expect(below.untilMs ?? 0).toBeGreaterThanOrEqual(own.untilMs);
          }
        }
        for (const name of new Set(images.map((one) => one.name))) {
          const staying = images.filter((one) => one.name === name && judged.get(one.digest)?.verdict === "stays");
          expect(staying.length).toBeGreaterThanOrEqual(Math.min(keep, images.filter((one) => one.name === name).length));
        }
      }),
    );
  });
});
