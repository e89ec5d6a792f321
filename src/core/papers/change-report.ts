import type { PackageChange } from "../debian/installed.ts";
import type { FactChange } from "../image/system-facts.ts";
import type { JsonValue } from "../json.ts";
import type { SizeChange } from "./compare-inventories.ts";

/** What a report is written from; `ImageComparison` and where the images come from. */
export interface ReportedChange {
  readonly before: ReportedImage;
  readonly after: ReportedImage;
  readonly packages: readonly PackageChange[];
  readonly fixes: readonly {
    readonly source: string;
    readonly before: string;
    readonly after: string;
    readonly packages: readonly string[];
    readonly vulnerabilities: readonly string[];
  }[];
  readonly licences: readonly FactChange[];
  readonly newLicences: readonly string[];
  readonly sizes: readonly SizeChange[];
  readonly services: readonly FactChange[];
  readonly users: readonly FactChange[];
  readonly groups: readonly FactChange[];
  readonly ports: readonly FactChange[];
  readonly privileged: readonly FactChange[];
  readonly settings: readonly { readonly setting: string; readonly before: JsonValue; readonly after: JsonValue }[];
  readonly files: readonly { readonly change: "added" | "removed" | "changed"; readonly path: string; readonly kind: string }[];
}

export interface ReportedImage {
  readonly name: string;
  readonly digest: string;
  readonly bakedAt: string;
  readonly bakedBy: string;
  readonly hermetic: boolean;
  readonly sizeBytes: number;
  readonly packages: number;
  /** `signed`: a trusted key signed how it was baked. */
  readonly signed: boolean;
  /** Of the newest trusted evidence of checks; absent when there is none. */
  readonly checks?: string;
}

/** As many files as people read. */
const SHOWN_FILES = 100;

/** What changed from one release to the next, in Markdown (GitHub's, with tables), for people who were not there. */
export function changeReport(change: ReportedChange): string {
  const { before, after } = change;
  return [
    `# ${text(after.name)}: what changed\n`,
    table(
      ["", "before", "after"],
      [
        ["digest", code(before.digest), code(after.digest)],
        ["baked", before.bakedAt, after.bakedAt],
        ["by", before.bakedBy, after.bakedBy],
        ["hermetic", yesNo(before.hermetic), yesNo(after.hermetic)],
        ["provenance signed", yesNo(before.signed), yesNo(after.signed)],
        ["checks", before.checks ?? "none", after.checks ?? "none"],
        ["size", megabytes(before.sizeBytes), megabytes(after.sizeBytes)],
        ["packages", String(before.packages), String(after.packages)],
      ],
    ),
    section("Known fixes", change.fixes, ["source", "before", "after", "fixes"], (fix) => [
      fix.source,
      fix.before,
      fix.after,
      fix.vulnerabilities.join(", "),
    ]),
    section("Packages", change.packages, ["package", "before", "after"], (pkg) => [
      pkg.name,
      "before" in pkg ? pkg.before : "—",
      "after" in pkg ? pkg.after : "—",
    ]),
    change.newLicences.length === 0 ? "" : `## New licences\n\n${change.newLicences.map((name) => `- ${text(name)}\n`).join("")}`,
    factSection("Licences", "package", change.licences),
    factSection("Services", "unit", change.services),
    factSection("Ports", "port", change.ports),
    factSection("Users", "user", change.users),
    factSection("Groups", "group", change.groups),
    factSection("Files with privileges", "file", change.privileged),
    section("Settings", change.settings, ["setting", "before", "after"], ({ setting, before: old, after: now }) => [
      setting,
      valueText(old),
      valueText(now),
    ]),
    section("Sizes", change.sizes.slice(0, 20), ["package", "before", "after"], (size) => [
      size.name,
      megabytes(size.beforeBytes),
      megabytes(size.afterBytes),
    ]),
    fileSection(change.files),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function section<T>(title: string, items: readonly T[], columns: readonly string[], row: (item: T) => readonly string[]): string {
  return items.length === 0
    ? ""
    : `## ${title}\n\n${table(
        columns,
        items.map((item) => row(item).map(text)),
      )}`;
}

const factSection = (title: string, what: string, changes: readonly FactChange[]): string =>
  section(title, changes, [what, "before", "after"], ({ name, before, after }) => [name, before ?? "—", after ?? "—"]);

function fileSection(files: ReportedChange["files"]): string {
  const shown = files.filter(({ kind }) => kind !== "directory");
  if (shown.length === 0) return "";
  const marks = { added: "+", removed: "-", changed: "~" } as const;
  const lines = shown.slice(0, SHOWN_FILES).map(({ change, path }) => `${marks[change]} ${path.replaceAll("`", "'")}\n`);
  const rest = shown.length - lines.length;
  return `## Files\n\n\`\`\`diff\n${lines.join("")}\`\`\`\n${rest > 0 ? `\nand ${rest} more.\n` : ""}`;
}

const table = (columns: readonly string[], rows: readonly (readonly string[])[]): string =>
  [columns, columns.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |\n`).join("");

/** A cell: nothing in it may end it, or be taken for markup. */
const text = (value: string): string =>
  value
    .replaceAll(/[\r\n]+/g, " ")
    .replaceAll("\\", "\\\\")
    .replaceAll(/[|`*_<>[\]]/g, (mark) => `\\${mark}`);

const code = (value: string): string => `\`${value.replaceAll("`", "'")}\``;

const yesNo = (value: boolean): string => (value ? "yes" : "**no**");

const megabytes = (bytes: number): string => (bytes < 100_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`);

const valueText = (value: JsonValue): string => {
  if (value === null || (Array.isArray(value) && value.length === 0)) return "—";
  if (Array.isArray(value)) return value.map(String).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
};
