import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { RESEED_BYTES, reseedProgram } from "./reseed.ts";

const folder = mkdtempSync(join(tmpdir(), "reseed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("gives its input to the kernel, and says when that could not be", () => {
  const program = join(folder, "reseed");
  writeFileSync(program, reseedProgram(), { mode: 0o755 });
  const given = (bytes: number): number | null => spawnSync(program, { input: Buffer.alloc(bytes, 7) }).status;
  expect(given(RESEED_BYTES)).toBe(0);
  expect(given(RESEED_BYTES - 1)).toBe(1);
});
