import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { didYouMean, editDistance, shortList, suggestion } from "./did-you-mean.ts";

describe("didYouMean", () => {
  it.each([
    ["stesp", ["from", "steps", "image"], "steps"],
    ["atp", ["run", "apt", "copy"], "apt"],
    ["Foundation", ["foundation", "base"], "foundation"],
    ["base_app", ["base", "base-app"], "base-app"],
    ["ansibel", ["ansible", "apt"], "ansible"],
    ["fro", ["from", "file"], "from"],
    ["xyz", ["from", "steps"], undefined],
    ["a", ["b"], undefined],
    ["", ["a"], undefined],
    ["x".repeat(1000), ["x".repeat(999)], undefined],
  ])("%s of %j is %s", (word, candidates, expected) => {
    expect(didYouMean(word, candidates)).toBe(expected);
  });

  it("never offers the word itself", () => {
    expect(didYouMean("apt", ["apt"])).toBeUndefined();
  });

  it("only offers candidates", () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.string()), (word, candidates) => {
        const guess = didYouMean(word, candidates);
        expect(guess === undefined || candidates.includes(guess)).toBe(true);
      }),
    );
  });
});

describe("suggestion", () => {
  it("guesses, else lists what is possible", () => {
    expect(suggestion("stesp", ["from", "steps"])).toBe('did you mean "steps"?');
    expect(suggestion("zzz", ["from", "steps"], "keys here")).toBe("keys here: from, steps");
    expect(suggestion("zzz", [])).toBeUndefined();
  });

  it("cuts long lists", () => {
    expect(shortList(Array.from({ length: 22 }, (_, index) => `s${index}`))).toMatch(/s19, … and 2 more$/);
  });
});

describe("editDistance", () => {
  const word = fc.string({ maxLength: 12 });
  it("is a symmetric count that is zero for equal words only", () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});
