import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { COMMAND_GROUPS, flagOf } from "./command.ts";
import { GLOBAL_OPTIONS } from "./program.ts";
import { COMMANDS } from "./registry.ts";

const files = readdirSync(join(import.meta.dirname, "commands")).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"));

describe("the registry of commands", () => {
  it("has one row for each file of commands/", () => {
    expect(COMMANDS.map(({ name }) => `${name.replaceAll(" ", "-")}.ts`).sort()).toEqual(files.sort());
  });

  it("lists the groups in order, each once", () => {
    const order = COMMANDS.map(({ group }) => group).filter((group, index, all) => all[index - 1] !== group);
    expect(order).toEqual(COMMAND_GROUPS.filter((group) => order.includes(group)));
  });

  it.each(COMMANDS.map((row) => [row.name, row] as const))("%s says in its row what its file says", async (_name, row) => {
    const { command } = await row.load();
    expect({ name: command.name, summary: command.summary }).toEqual({ name: row.name, summary: row.summary });
    expect(command.summary).not.toMatch(/\.$/);
    expect(command.examples.length).toBeGreaterThan(0);
    for (const { line } of command.examples) expect(`${line} `.startsWith(`${command.name} `)).toBe(true);
    const globals = GLOBAL_OPTIONS.map(({ flags }) => /--[a-z-]+/.exec(flags)?.[0]);
    for (const key of Object.keys(command.options ?? {})) expect(globals).not.toContain(flagOf(key));
  });
});
