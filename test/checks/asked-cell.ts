import { hostPrograms } from "../../src/adapters/check-services/index.ts";
import type { CheckDefinition } from "../../src/core/checks/check.ts";
import type { CheckResult } from "../../src/core/checks/verdict.ts";
import { readImage } from "../../src/engine/image-content.ts";
import { bindCheck, runCheck } from "../../src/engine/run-check.ts";
import type { Cell } from "../../src/ports/cells.ts";
import { bakeExample, type BakedExample } from "../cells/bake-example.ts";

export interface AskOptions {
  readonly retries?: number;
  readonly timeoutMs?: number;
  readonly files?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface AskedCells {
  /** Boots the baked cake with further files: a machine that is not as it should be. */
  start(files?: Readonly<Record<string, string>>): Promise<Cell>;
  /** Runs a check that asks a machine. */
  ask(cell: Cell, definition: CheckDefinition, options: unknown, around?: AskOptions): Promise<CheckResult>;
  dispose(): Promise<void>;
}

/** Machines made of the three cakes' baked release: nginx on port 80, and nothing else. */
export async function askedCells(): Promise<AskedCells> {
  const baked: BakedExample = await bakeExample("examples/three-cakes/baked.yaml");
  const { entry, name, source } = readImage(baked.bakehouse.parts.store, "three-cakes-baked/release");
  const cells = await baked.bakehouse.parts.cells();
  const started: Cell[] = [];
  return {
    start: async (files = {}) => {
      const request = { image: { digest: entry.digest, name }, source, purpose: "check", publish: [], files } as const;
      const cell = await cells.start(request, new AbortController().signal);
      started.push(cell);
      await cell.booted(120_000);
      return cell;
    },
    ask: async (cell, definition, options, { retries = 0, timeoutMs, files, environment = {} } = {}) => {
      const host = hostPrograms({ PATH: process.env["PATH"], ...environment });
      const parsed = definition.options.parse(options) as never;
      const declared = { check: definition.id, name: definition.id, layer: "release", options: parsed, retries };
      const more = { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(files === undefined ? {} : { files }) };
      try {
        return await runCheck(bindCheck({ ...declared, ...more }, definition), {
          image: { digest: entry.digest, name },
          clock: { now: () => new Date(), elapsedMs: () => performance.now() },
          signal: new AbortController().signal,
          services: { cell, host },
          onProgress: () => undefined,
        });
      } finally {
        host.close();
      }
    },
    dispose: async () => {
      await Promise.all(started.map((cell) => cell.stop()));
      await baked.dispose();
    },
  };
}

/** Files of a unit that starts at boot. */
export const unitFiles = (unit: string, lines: string): Readonly<Record<string, string>> => ({
  [`/etc/systemd/system/${unit}`]: `[Unit]\nDescription=${unit}\n[Service]\n${lines}\n`,
  [`/etc/systemd/system/multi-user.target.d/${unit}.conf`]: `[Unit]\nWants=${unit}\n`,
});
