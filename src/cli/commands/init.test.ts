import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseRecipe } from "../../core/recipe/parse-recipe.ts";
import { TEMPLATE_NAMES } from "../../core/recipe/template-names.ts";
import { TEMPLATES } from "../../core/recipe/templates.ts";
import { checks } from "../../checks/registry.ts";
import { steps } from "../../steps/registry.ts";
import { main } from "../main.ts";
import { recordingStreams } from "../../../test/recording-streams.ts";

describe("init", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "bakehouse-init-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const run = async (...words: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> => {
    const { streams, text } = recordingStreams();
    const code = await main(["init", ...words], { streams, folder });
    return { code, ...text };
  };

  it("knows every template by name", () => {
    expect([...TEMPLATE_NAMES]).toEqual(TEMPLATES.map((template) => template.name));
  });

  it.each(TEMPLATES)("writes $name as a recipe without mistakes, under the folder's name", async ({ name, files }) => {
    expect(await run("My Machines", "--template", name)).toMatchObject({ code: 0, err: "" });
    const target = join(folder, "My Machines");
    for (const file of [...files, "bakehouse.schema.json"]) expect(existsSync(join(target, file)), file).toBe(true);
    const text = readFileSync(join(target, "bakehouse.yaml"), "utf8");
    const parsed = parseRecipe({ text, file: join(target, "bakehouse.yaml"), folder: target, steps, checks });
    expect(parsed.problems).toEqual([]);
    expect(parsed.recipe?.name).toBe("my-machines");
  });

  it("touches nothing when a file is there already", async () => {
    writeFileSync(join(folder, "bakehouse.yaml"), "mine");
    const { code, err } = await run();
    expect(code).toBe(2);
    expect(err).toContain("has bakehouse.yaml already; nothing was written");
    expect(readFileSync(join(folder, "bakehouse.yaml"), "utf8")).toBe("mine");
    expect(existsSync(join(folder, "bakehouse.schema.json"))).toBe(false);
  });

  it.each(["file", "file/below", "/dev/null/x"])("tells that %s cannot be a folder", async (target) => {
    writeFileSync(join(folder, "file"), "mine");
    const { code, err } = await run(target, "--name", "machines");
    expect(err).toMatch(/^error USAGE .* cannot be a folder \(ENOTDIR\); nothing was written/);
    expect(code).toBe(2);
  });

  it("refuses a name that no recipe can have, and a template that there is not", async () => {
    expect(await run("--name", "Über!")).toMatchObject({ code: 2, err: expect.stringContaining("--name uber") as string });
    expect(await run("--template", "wbe")).toMatchObject({ code: 2 });
  });
});
