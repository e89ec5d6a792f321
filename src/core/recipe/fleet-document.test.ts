import { describe, expect, it } from "vitest";
import { BakehouseError, problemsOf } from "../errors.ts";
import { isFleetDocument, readFleetDocument } from "./fleet-document.ts";

const known = (recipe: string) => (recipe === "shop" ? { layers: ["release"], channels: ["dev", "prod"] } : { layers: [], channels: [] });
const WEST =
  "recipe: shop\nsecrets:\n  licence: { env: LICENCE }\nfleets:\n  west:\n    size: 2\n    layer: release\n    channel: prod\n    health: { tcp: 80 }\n    secrets: [licence]\n";

const mistakes = (text: string): readonly string[] => {
  try {
    readFleetDocument(text, "west.yaml", known);
  } catch (error) {
    if (error instanceof BakehouseError)
      return problemsOf(error).map(({ line, column, message }) => `${line ?? 0}:${column ?? 0} ${message}`);
    throw error;
  }
  return [];
};

describe("a document of fleets", () => {
  it("is told from a recipe by what it has", () => {
    expect(isFleetDocument(WEST)).toBe(true);
    expect(isFleetDocument(`${WEST}layers: {}\n`)).toBe(false);
    expect(isFleetDocument("name: shop\nlayers: {}\n")).toBe(false);
    expect(isFleetDocument("- fleets\n")).toBe(false);
    expect(isFleetDocument("")).toBe(false);
  });

  it("is read as the section of a recipe is", () => {
    expect(readFleetDocument(WEST, "west.yaml", known)).toMatchObject({
      name: "shop",
      secrets: { licence: { env: "LICENCE" } },
      fleets: [{ name: "west", size: 2, runs: { layer: "release", channel: "prod" }, secrets: ["licence"] }],
    });
  });

  it("tells all mistakes at once, each with its place", () => {
    const wrong = WEST.replace("size: 2", "size: none").replace("channel: prod", "channel: prdo").replace("[licence]", "[license]");
    expect(mistakes(wrong)).toEqual([
      expect.stringMatching(/^6:11 fleets\.west\.size: expected a number/) as string,
      expect.stringMatching(/^8:14 fleets\.west\.channel: there is no channel "prdo"/) as string,
      expect.stringMatching(/^10:15 fleets\.west\.secrets\[0\]: there is no secret "license"/) as string,
    ]);
    expect(mistakes("recipe: other\nfleets:\n  west: { size: 1, layer: release, channel: prod, health: { tcp: 80 } }\n")).toHaveLength(2);
    expect(mistakes("fleets: {}\n")).toEqual([expect.stringContaining('"recipe" is missing') as string]);
    expect(mistakes("[]\n")).toEqual([expect.stringContaining("a fleet document is a mapping") as string]);
  });
});
