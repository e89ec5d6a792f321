import { formatStanza } from "../../core/debian/deb822.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import { contentOf, type BinaryPackage } from "./binary-package.ts";
import { hashFiles, md5Of } from "./hash-files.ts";
import type { ConffilePlace, EntryWriter } from "./write-entries.ts";

/**
 * dpkg's database, written as `dpkg --unpack` would have left it (dpkg 1.21 and 1.22):
 *
 *     /var/lib/dpkg/status                 a stanza a package; `install ok unpacked` until it is configured
 *     /var/lib/dpkg/info/format            "1"
 *     /var/lib/dpkg/info/<name>[:<arch>].* the control files but `control` itself, and `list`: every path it brought
 *     /var/lib/dpkg/triggers/<trigger>     who is interested in an explicit trigger: a package a line
 *     /var/lib/dpkg/triggers/File          the same for paths: `<path> <package>`
 *     /var/lib/dpkg/triggers/Unincorp      triggers that nobody has taken note of yet: `<trigger> <awaiter or ->…`
 *     /var/lib/dpkg/{updates,parts}        journal and split packages: empty
 *
 * Nobody else may use the database meanwhile; dpkg reads it when it starts, puts it into its own order and checks it.
 */
export const DATABASE = "/var/lib/dpkg";

/** An empty database, as debootstrap and mmdebstrap make it. */
export function createDatabase(root: ImageRoot, architecture: string): void {
  for (const name of ["", "/info", "/updates", "/parts", "/alternatives", "/triggers"])
    root.makeDirectory(DATABASE + name, { mode: 0o755 });
  root.write(`${DATABASE}/status`, "");
  root.write(`${DATABASE}/arch`, `${architecture}\n`);
  root.write(`${DATABASE}/info/format`, "1\n");
}

/** Adds packages, new to it, as unpacked. Their files have been written before. */
export function addUnpacked(root: ImageRoot, packages: readonly BinaryPackage[], writer: EntryWriter, conffiles: ConffilePlace): void {
  for (const pack of packages) addInfo(pack, writer);
  const status = root.readText(`${DATABASE}/status`) ?? "";
  root.write(
    `${DATABASE}/status`,
    joinStanzas(
      status,
      packages.map((pack) => unpackedStanza(pack, conffiles)),
    ),
  );
  addInterests(root, packages);
}

const joinStanzas = (status: string, stanzas: readonly string[]): string =>
  [status.replace(/\n*$/, status === "" ? "" : "\n"), ...stanzas].filter((part) => part !== "").join("\n");

/** What a package's control file may say and the status file does not hold, or holds with another meaning. */
const NOT_IN_STATUS = new Set(["package", "status", "filename", "size", "md5sum", "sha1", "sha256", "conffiles", "config-version"]);

/** A conffile in its final place is noted with its digest, as configured: dpkg passes over one without a `.dpkg-new`. */
function unpackedStanza(pack: BinaryPackage, place: ConffilePlace): string {
  const digests =
    place === "final"
      ? new Map(pack.entries.filter((entry) => pack.conffiles.has(entry.path)).map((entry) => [entry.path, md5Of(pack, entry)]))
      : new Map<string, string>();
  const lines = pack.conffileList.map(
    ({ path, isFormer }) => `\n${path} ${digests.get(path) ?? "newconffile"}${isFormer ? " remove-on-upgrade" : ""}`,
  );
  const conffiles = Buffer.from(lines.join(""), "latin1").toString("utf8");
  return formatStanza([
    { name: "Package", value: pack.name },
    { name: "Status", value: "install ok unpacked" },
    ...pack.stanza.fields.filter(({ name }) => !NOT_IN_STATUS.has(name.toLowerCase())),
    ...(conffiles === "" ? [] : [{ name: "Conffiles", value: conffiles }]),
  ]);
}

function addInfo(pack: BinaryPackage, writer: EntryWriter): void {
  const prefix = `${DATABASE}/info/${pack.infoName}`;
  for (const member of pack.control) {
    if (member.name !== "control") writer.addFile(`${prefix}.${member.name}`, member.content, member);
  }
  const paths = pack.entries.map((entry) => `${entry.path}\n`).join("");
  writer.addFile(`${prefix}.list`, Buffer.from(paths, "latin1"), { mode: 0o644 });
  if (contentOf(pack.control, "md5sums") === undefined) writer.addFile(`${prefix}.md5sums`, hashFiles(pack), { mode: 0o644 });
}

/** One line of a package's `triggers` file (deb-triggers(5)). */
interface TriggerDirective {
  readonly kind: "interest" | "activate";
  readonly awaits: boolean;
  readonly trigger: string;
}

function directivesOf(pack: Pick<BinaryPackage, "control">): readonly TriggerDirective[] {
  const lines = contentOf(pack.control, "triggers")?.toString("utf8").split("\n") ?? [];
  return lines.flatMap((line): TriggerDirective[] => {
    const match = /^\s*(interest|activate)(-await|-noawait)?\s+(\S+)/.exec(line);
    if (match === null) return [];
    return [{ kind: match[1] === "interest" ? "interest" : "activate", awaits: match[2] !== "-noawait", trigger: match[3] ?? "" }];
  });
}

/** How triggers name a package: without its architecture unless several may be installed, and `/noawait` for that kind. */
const interestLine = (pack: BinaryPackage, directive: TriggerDirective): string => `${pack.infoName}${directive.awaits ? "" : "/noawait"}`;

function addInterests(root: ImageRoot, packages: readonly BinaryPackage[]): void {
  const added = new Map<string, string[]>();
  const note = (path: string, line: string): void => void (added.get(path)?.push(line) ?? added.set(path, [line]));
  for (const pack of packages) {
    for (const directive of directivesOf(pack)) {
      if (directive.kind !== "interest") continue;
      const who = interestLine(pack, directive);
      if (directive.trigger.startsWith("/")) note("File", `${directive.trigger} ${who}`);
      else note(directive.trigger, who);
    }
  }
  for (const [name, lines] of added) {
    const path = `${DATABASE}/triggers/${name}`;
    root.write(path, `${root.readText(path) ?? ""}${lines.join("\n")}\n`);
  }
}

/**
 * Notes the triggers that new packages set off in packages that are there: by `activate`, and by files below a path that
 * somebody is interested in. dpkg takes the notes up at its next start and leaves out who is not configured yet.
 */
export function noteTriggers(root: ImageRoot, packages: readonly BinaryPackage[]): void {
  const paths = watchedPaths(root);
  const awaiters = new Map<string, Set<string>>();
  const note = (trigger: string, awaiter: string): void =>
    void (awaiters.get(trigger)?.add(awaiter) ?? awaiters.set(trigger, new Set([awaiter])));
  for (const pack of packages) {
    for (const { kind, awaits, trigger } of directivesOf(pack)) if (kind === "activate") note(trigger, awaits ? pack.infoName : "-");
    for (const path of paths)
      if (pack.entries.some((entry) => entry.path === path || entry.path.startsWith(`${path}/`))) note(path, pack.infoName);
  }
  if (awaiters.size === 0) return;
  const file = `${DATABASE}/triggers/Unincorp`;
  const lines = [...awaiters].map(([trigger, who]) => `${trigger} ${[...who].join(" ")}\n`);
  root.write(file, `${root.readText(file) ?? ""}${lines.join("")}`);
}

/** Of triggers/File, without repeats. */
function watchedPaths(root: ImageRoot): readonly string[] {
  const lines = (root.readText(`${DATABASE}/triggers/File`) ?? "").split("\n");
  return [...new Set(lines.map((line) => line.slice(0, line.lastIndexOf(" "))).filter((path) => path !== ""))];
}
