import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { checkTreeAt, hostPrograms, knownSecrets } from "../../src/adapters/check-services/index.ts";
import { bindCheck, runCheck } from "../../src/engine/run-check.ts";
import type { CheckDefinition } from "../../src/core/checks/check.ts";
import type { CheckResult } from "../../src/core/checks/verdict.ts";
import { check as checkValue } from "../../src/core/recipe/explain-issues.ts";

/** A file of a tree that a test makes: its content, or with mode and owner; a link when it says where to. */
export type TestFile =
  string | { readonly content?: string; readonly mode?: number; readonly uid?: number; readonly gid?: number; readonly link?: string };

export interface AskedTree {
  readonly folder: string;
  put(files: Readonly<Record<string, TestFile>>): void;
  /** Runs a check that looks at files only. */
  ask(definition: CheckDefinition, options: unknown, around?: AskOptions): Promise<CheckResult>;
  dispose(): void;
}

export interface AskOptions {
  readonly files?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly { readonly name: string; readonly env?: string; readonly file?: string }[];
  /** Where the recipe lies. */
  readonly recipeFolder?: string;
  readonly timeoutMs?: number;
}

/** What every tree needs so that nothing is said about it. */
const PLAIN: Readonly<Record<string, TestFile>> = {
  "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  "/etc/group": "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\n",
  "/etc/shadow": { content: "root:*:19000:0:99999:7:::\nnobody:!:19000:0:99999:7:::\n", mode: 0o640, gid: 42 },
  "/etc/machine-id": "",
};

/** A small tree, and checks that look at it as they would at an image's. */
export function askedTree(): AskedTree {
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-asked-"));
  chmodSync(folder, 0o755);
  const put = (files: Readonly<Record<string, TestFile>>): void => {
    for (const [path, given] of Object.entries(files)) {
      const file = typeof given === "string" ? { content: given } : given;
      const place = join(folder, path);
      mkdirSync(dirname(place), { recursive: true, mode: 0o755 });
      rmSync(place, { force: true });
      if (file.link !== undefined) symlinkSync(file.link, place);
      else {
        writeFileSync(place, file.content ?? "");
        chownSync(place, file.uid ?? 0, file.gid ?? 0);
        chmodSync(place, file.mode ?? 0o644);
      }
    }
  };
  put(PLAIN);
  return {
    folder,
    put,
    ask: async (definition, options, around = {}) => {
      const environment = around.environment ?? process.env;
      const host = hostPrograms(environment);
      const declared = {
        check: definition.id,
        name: definition.id,
        layer: "base",
        options: definition.options.parse(options) as never,
        retries: 0,
        ...(around.files === undefined ? {} : { files: around.files }),
        ...(around.timeoutMs === undefined ? {} : { timeoutMs: around.timeoutMs }),
      };
      try {
        return await runCheck(bindCheck(declared, definition), {
          image: { digest: `sha256:${"0".repeat(64)}`, name: "test/base" },
          clock: { now: () => new Date(), elapsedMs: () => performance.now() },
          signal: new AbortController().signal,
          services: {
            tree: checkTreeAt(folder),
            host,
            secrets: knownSecrets(around.secrets ?? [], { environment, folders: [around.recipeFolder ?? "/nowhere"] }),
          },
          onProgress: () => undefined,
        });
      } finally {
        host.close();
      }
    },
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** What is wrong with options, in the words of the recipe. */
export function refusals(definition: CheckDefinition, options: unknown): readonly string[] {
  const checked = checkValue(definition.options, options);
  return checked.ok ? [] : checked.findings.map(({ path, message }) => `${path.join(".")}: ${message}`);
}
