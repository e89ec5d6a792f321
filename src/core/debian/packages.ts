import { fieldOf, formatStanza, parseDeb822 } from "./deb822.ts";

/** Where a package stands in an index, and the little of it that is needed to find it again. */
export interface IndexedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** `required`, `important`, `standard`, `optional`…; empty if not given. */
  readonly priority: string;
  readonly essential: boolean;
  /** Names of virtual packages that it provides. */
  readonly provides: readonly string[];
  /** Of the stanza in the text, in characters (bytes, if the text was read as latin1). */
  readonly offset: number;
  readonly length: number;
}

/**
 * Goes through a `Packages` file, stanza by stanza, without keeping it. Made for the 50 MB of Debian's main: reads only the
 * fields it needs. Stanzas that lack a name or version are left out.
 *
 * @param text  read as latin1, so that offsets are bytes; what is read from it is ASCII
 */
export function scanPackages(text: string, visit: (found: IndexedPackage) => void): void {
  let offset = 0;
  while (offset < text.length) {
    const gap = text.indexOf("\n\n", offset);
    const end = gap === -1 ? text.length : gap + 1;
    const stanza = text.slice(offset, end);
    const found = describe(stanza, offset);
    if (found !== undefined) visit(found);
    offset = end;
    while (text.charCodeAt(offset) === 10) offset++;
  }
}

function describe(stanza: string, offset: number): IndexedPackage | undefined {
  const name = quickField(stanza, "Package");
  const version = quickField(stanza, "Version");
  if (name === undefined || version === undefined) return undefined;
  return {
    name,
    version,
    architecture: quickField(stanza, "Architecture") ?? "",
    priority: quickField(stanza, "Priority") ?? "",
    essential: quickField(stanza, "Essential") === "yes",
    provides: providedNames(quickField(stanza, "Provides") ?? ""),
    offset,
    length: stanza.length,
  };
}

/** One-line fields only, and with the usual spelling of their names: Packages files are written by programs. */
function quickField(stanza: string, name: string): string | undefined {
  const label = `${name}:`;
  const at = stanza.startsWith(label) ? 0 : stanza.indexOf(`\n${label}`) + 1;
  if (at === 0 && !stanza.startsWith(label)) return undefined;
  const end = stanza.indexOf("\n", at);
  return stanza.slice(at + label.length, end === -1 ? undefined : end).trim();
}

/** `mail-transport-agent, awk (= 1)` → the names. */
export const providedNames = (value: string): readonly string[] =>
  value === ""
    ? []
    : value
        .split(",")
        .map((item) => item.trim().replace(/[\s(:].*$/s, ""))
        .filter((name) => name !== "");

/** What dpkg keeps of a package in its status file, in its order; the rest of an index stanza is about the archive. */
const STATUS_FIELDS = [
  "Package",
  "Essential",
  "Protected",
  "Important",
  "Priority",
  "Section",
  "Installed-Size",
  "Architecture",
  "Multi-Arch",
  "Source",
  "Version",
  "Replaces",
  "Provides",
  "Depends",
  "Pre-Depends",
  "Recommends",
  "Suggests",
  "Breaks",
  "Conflicts",
  "Enhances",
] as const;

/** The stanza that dpkg's status file will hold once this package is installed, as far as a resolver cares. */
export function installedStanza(control: string): string {
  const stanza = parseDeb822(control).stanzas[0] ?? { line: 1, fields: [] };
  const fields = STATUS_FIELDS.flatMap((name) => {
    const value = fieldOf(stanza, name);
    return value === undefined ? [] : [{ name, value }];
  });
  const [first, ...rest] = fields;
  return formatStanza([...(first === undefined ? [] : [first]), { name: "Status", value: "install ok installed" }, ...rest]);
}
