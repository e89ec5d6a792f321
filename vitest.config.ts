import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";

const globalSetup = join(import.meta.dirname, "test", "global-setup.ts");

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    // Threads share the loaded modules and cannot change user or folder; bakes need both, so files run in processes.
    pool: "forks",
    isolate: false,
    // Real bakes use both cores by themselves: more files at once only makes them wait for each other.
    maxWorkers: Math.max(2, Math.min(4, availableParallelism())),
    globalSetup: existsSync(globalSetup) ? [globalSetup] : [],
    testTimeout: 60_000,
    hookTimeout: 300_000,
    // Nothing of the user who runs the tests may change their result.
    env: { BAKEHOUSE_HOME: "", NO_COLOR: "", FORCE_COLOR: "0" },
    reporters: process.env["CI"] === undefined ? ["default"] : ["dot"],
  },
});
