import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { DeclaredSecret } from "../../core/checks/declared-check.ts";
import type { KnownSecrets } from "../../ports/check-services.ts";
import { scanForSecrets } from "../secret-scan/index.ts";

/** Where the values of secrets are looked for. */
export interface SecretPlaces {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folders that recipes of this name were baked in, the newest first: files are named relative to them. */
  readonly folders: readonly string[];
}

/** Secrets of a bake, as far as the variables and files that held them there hold them here, too. */
export function knownSecrets(declared: readonly DeclaredSecret[], { environment, folders }: SecretPlaces): KnownSecrets {
  const given = declared.flatMap(({ name, env, file }) => {
    const value = env !== undefined ? environment[env] : file === undefined ? undefined : readFirst(file, folders);
    return value === undefined || value === "" ? [] : [{ name, value }];
  });
  return {
    names: given.map(({ name }) => name),
    missing: declared.map(({ name }) => name).filter((name) => !given.some((secret) => secret.name === name)),
    findIn: (directory) => scanForSecrets(directory, given),
  };
}

/** An absolute path is the same from every folder. */
function readFirst(file: string, folders: readonly string[]): string | undefined {
  for (const folder of [...folders, "/"]) {
    if (folder === "/" && !file.startsWith("/")) continue;
    try {
      return readFileSync(resolve(folder, file), "utf8");
    } catch {
      continue;
    }
  }
  return undefined;
}
