import type { DeclaredSecret } from "../../core/checks/declared-check.ts";
import type { KnownSecrets } from "../../ports/check-services.ts";
import { scanForSecrets } from "../secret-scan/index.ts";

/** Secrets of a bake, as far as the environment variables that held them there hold them here, too. */
export function knownSecrets(declared: readonly DeclaredSecret[], environment: Readonly<Record<string, string | undefined>>): KnownSecrets {
  const given = declared.flatMap(({ name, env }) => {
    const value = env === undefined ? undefined : environment[env];
    return value === undefined || value === "" ? [] : [{ name, value }];
  });
  return {
    names: given.map(({ name }) => name),
    missing: declared.map(({ name }) => name).filter((name) => !given.some((secret) => secret.name === name)),
    findIn: (directory) => scanForSecrets(directory, given),
  };
}
