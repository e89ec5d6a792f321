import { chmodSync, mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Folder of one run of the tests, shared by its processes: see `shared-store.ts`. Gone when the run ends. */
    readonly runFolder: string;
  }
}

export function setup(project: TestProject): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-run-"));
  chmodSync(folder, 0o755); // some tests are other users
  project.provide("runFolder", folder);
  // Not the synchronous kind: stores take seconds to remove, and Vitest would take its workers for stuck meanwhile.
  return () => rm(folder, { recursive: true, force: true });
}
