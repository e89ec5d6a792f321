import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recipe } from "../index.ts";
import { createBakehouse, type Bakehouse } from "./create-bakehouse.ts";

let folder: string;
let bakehouse: Bakehouse;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-library-"));
  bakehouse = createBakehouse({ store: join(folder, "store") });
});
afterAll(async () => {
  await bakehouse.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("a recipe that was built in TypeScript", () => {
  const shop = recipe("shop").layer("foundation", (layer) => layer.debian({ suite: "bookworm" }));

  it("stands in a folder, where its lock will lie", () => {
    expect(bakehouse.define(shop, { folder })).toMatchObject({ lockFile: join(folder, "bakehouse.lock"), warnings: [] });
  });

  it("is refused when that folder is not there, before anything is resolved", () => {
    writeFileSync(join(folder, "file"), "");
    for (const name of ["nowhere", "file"])
      expect(() => bakehouse.define(shop, { folder: join(folder, name) })).toThrow(
        expect.objectContaining({ code: "RECIPE_NOT_FOUND", message: expect.stringContaining(name) as string }),
      );
  });
});
