import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import {
  archiveOfSuite,
  mirrorsFor,
  parseSourcesFile,
  parseSourcesList,
  withoutLogin,
  type SourceEntry,
} from "../../core/debian/sources.ts";

export interface MirrorSettings {
  /** The host's `/etc/apt`. */
  readonly aptFolder: string;
  /** `$BAKEHOUSE_MIRROR`: the main archive and, after a blank, the security archive. */
  readonly override?: string;
}

/** Everything that the host's apt is set up with, in both forms. */
export function hostSources(aptFolder: string): readonly SourceEntry[] {
  const parts = namesIn(join(aptFolder, "sources.list.d")).map((name) => join(aptFolder, "sources.list.d", name));
  return [join(aptFolder, "sources.list"), ...parts].flatMap((file) => {
    if (file.endsWith(".sources")) return parseSourcesFile(textOf(file));
    return file.endsWith(".list") ? parseSourcesList(textOf(file)) : [];
  });
}

const namesIn = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
};

const textOf = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
};

/**
 * Roots of the Debian archive that has this suite, best first: the recipe's mirror, else `$BAKEHOUSE_MIRROR`, else the
 * host's own.
 *
 * @throws BakehouseError SETUP_INCOMPLETE when none is known, USAGE when the given one is no URL
 */
export function mirrorRoots(suite: string, mirror: string | undefined, settings: MirrorSettings): readonly string[] {
  const given = mirror ?? settings.override;
  if (given !== undefined && given.trim() !== "") {
    const root = givenRoot(suite, given);
    if (/^(?:https?:\/\/[^/]|file:\/)/.test(root)) return [root];
    throw new BakehouseError("USAGE", `The mirror ${withoutLogin(given)} is no http:, https: or file: URL`, {
      hint: "BAKEHOUSE_MIRROR=http://host/debian",
    });
  }
  const found = mirrorsFor(suite, hostSources(settings.aptFolder));
  if (found.length > 0) return found;
  const message = `No mirror of Debian's ${suite} is known: this machine's apt (${settings.aptFolder}) names none`;
  throw new BakehouseError("SETUP_INCOMPLETE", message, {
    hint: "name one: BAKEHOUSE_MIRROR=http://host/debian, or `mirror:` in the recipe's debian step",
  });
}

/** One URL stands for both archives: `…/debian` has `…/debian-security` beside it. */
function givenRoot(suite: string, given: string): string {
  const [main = "", security] = given
    .trim()
    .split(/\s+/)
    .map((url) => url.replace(/\/+$/, ""));
  if (archiveOfSuite(suite) === "debian") return main;
  return security ?? `${main}-security`;
}
