import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, copyFileSync, existsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { copyTree, debianStore } from "../test/shared-store.ts";

const root = join(import.meta.dirname, "..");
let folder: string;

/** As a user has it: a project whose node_modules holds the package. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-library-"));
  copyTree((await debianStore()).store, join(folder, "store"));
  copyFileSync(join(import.meta.dirname, "library", "bake.ts"), join(folder, "bake.ts"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  const installed = join(folder, "node_modules", "bakehouse");
  mkdirSync(installed, { recursive: true });
  execFileSync(process.execPath, [join(root, "tools", "build.mjs"), "--types", "--out", join(installed, "dist")]);
  for (const name of ["package.json", "templates"]) copyTree(join(root, name), join(installed, name));
  symlinkSync(join(root, "node_modules"), join(installed, "node_modules"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bake = (): { readonly status: number | null; readonly lines: readonly string[]; readonly errors: string } => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["bake.ts", "store", "."], { cwd: folder, encoding: "utf8" });
  return { status, lines: stdout.trim().split("\n"), errors: stderr };
};

it("bakes a recipe of its own, and finds that nothing changed", () => {
  const first = bake();
  expect(first).toMatchObject({ status: 0, errors: "" });
  expect(first.lines[0]).toBe("locked");
  const images = first.lines.filter((line) => /^greeter\/\S+ sha256:[0-9a-f]{64}$/.test(line));
  expect(images).toHaveLength(2);
  expect(bake()).toEqual({ status: 0, errors: "", lines: ["the lock is up to date", ...images] });
});

it("comes with types that its users' compiler takes", () => {
  expect(existsSync(join(folder, "node_modules/bakehouse/dist/types/index.d.ts"))).toBe(true);
  symlinkSync(join(root, "node_modules", "@types"), join(folder, "node_modules", "@types"));
  const options = [
    "--noEmit",
    "--strict",
    "--module",
    "nodenext",
    "--target",
    "es2024",
    "--lib",
    "es2024,esnext.disposable",
    "--types",
    "node",
    "--skipLibCheck",
  ];
  const { status, stdout } = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...options, "bake.ts"], {
    cwd: folder,
    encoding: "utf8",
  });
  expect(stdout).toBe("");
  expect(status).toBe(0);
});
