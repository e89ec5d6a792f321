import { shortDigest } from "../../core/digest.ts";
import type { PackageChange } from "../../core/debian/installed.ts";
import type { FactChange } from "../../core/image/system-facts.ts";
import type { JsonValue } from "../../core/json.ts";
import type { ComparedImage, FileChange, ImageComparison } from "../../engine/compare-images.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { count, fit, formatBytes } from "../text.ts";

export const command = defineCommand({
  name: "image diff",
  summary: "Compare two images: packages, fixes, services, files",
  description: `Packages with licences, sizes and known fixes (CVE numbers in the changelogs that the image holds), services, ports, users, files with
privileges (setuid and the like), settings, and files by content. The summary shows the largest changes; --all shows each file, --json everything.
\`bakehouse image report\` writes it down in Markdown.`,
  arguments: { before: IMAGE_ARGUMENT, after: IMAGE_ARGUMENT },
  options: {
    all: { short: "a", summary: "Every changed file instead of the largest changes" },
    times: { summary: "Also files of which only the modification time differs" },
  },
  examples: [
    { line: "image diff 3f9a1c shop/release", does: "What the newest release changed against an older one" },
    { line: "image diff shop/base shop/base-app", does: "What the layer base-app brings" },
  ],
  run: async ({ args, options, global, terminal, signal }) => {
    const { compareImages } = await import("../../engine/compare-images.ts");
    return withImages({ global, terminal }, async (parts) =>
      compareImages({ store: parts.store, trees: await parts.trees() }, args.before, args.after, { times: options.times, signal }),
    );
  },
  render: (comparison, { terminal, options }) => {
    const { before, after, packages, files, settings } = comparison;
    const head = `${describeImage(before, terminal)}\n→ ${describeImage(after, terminal)}\n`;
    if (packages.length + files.length + settings.length === 0) return `${head}\nNothing differs.\n`;
    return [
      head,
      packageSection(packages, terminal),
      fixSection(comparison, terminal),
      ...factSections(comparison, terminal),
      sizeSection(comparison, terminal),
      fileSection(comparison, terminal, options.all ? Infinity : SHOWN_FILES),
      settingSection(comparison, terminal),
    ]
      .filter((part) => part !== "")
      .join("\n");
  },
});

/** As much as fits on a screen beside the packages. */
const SHOWN_FILES = 20;

const describeImage = ({ name, digest, kind, sizeBytes, packages }: ComparedImage, { colors }: Terminal): string =>
  `${colors.bold(name)} ${colors.dim(`${shortDigest(digest)}${kind === "image" ? "" : `, ${kind}`}, ${formatBytes(sizeBytes)}, ${count(packages, "package")}`)}`;

function packageSection(packages: readonly PackageChange[], { colors }: Terminal): string {
  if (packages.length === 0) return "";
  const countOf = (change: PackageChange["change"]): string => {
    const number = packages.filter((each) => each.change === change).length;
    return number === 0 ? "" : `${number} ${change}`;
  };
  const summary = (["added", "removed", "upgraded", "downgraded"] as const)
    .map(countOf)
    .filter((text) => text !== "")
    .join(", ");
  const lines = packages.map((change) => {
    const size = change.installedBytes === 0 ? "" : colors.dim(`  ${signed(change.installedBytes)}`);
    if (change.change === "added") return `  ${colors.green("+")} ${change.name} ${change.after}${size}`;
    if (change.change === "removed") return `  ${colors.red("-")} ${change.name} ${change.before}${size}`;
    return `  ${colors.yellow(change.change === "upgraded" ? "↑" : "↓")} ${change.name} ${change.before} → ${change.after}${size}`;
  });
  return `${colors.bold("Packages")}: ${summary}\n${lines.join("\n")}\n`;
}

function fixSection({ fixes }: ImageComparison, { colors }: Terminal): string {
  if (fixes.length === 0) return "";
  const lines = fixes.map(
    ({ source, before, after, vulnerabilities }) => `  ${source} ${before} → ${after}  ${colors.green(vulnerabilities.join(" "))}\n`,
  );
  return `${colors.bold("Known fixes")}\n${lines.join("")}`;
}

function factSections({ system, sbom }: ImageComparison, { colors }: Terminal): readonly string[] {
  const sections: readonly (readonly [string, readonly FactChange[]])[] = [
    ["Services", system.services],
    ["Ports", system.ports],
    ["Users", system.users],
    ["Groups", system.groups],
    ["Files with privileges", system.privileged],
    ["Licences", sbom.licences],
  ];
  return sections.map(([title, changes]) => {
    if (changes.length === 0) return "";
    const lines = changes.map(({ name, before, after }) => {
      if (before === null) return `  ${colors.green("+")} ${name} ${colors.dim(after ?? "")}\n`;
      if (after === null) return `  ${colors.red("-")} ${name} ${colors.dim(before)}\n`;
      return `  ${colors.yellow("~")} ${name} ${colors.dim(`${before} → ${after}`)}\n`;
    });
    return `${colors.bold(title)}\n${lines.join("")}`;
  });
}

/** As much as says where the bytes went. */
const SHOWN_SIZES = 10;

function sizeSection({ sbom }: ImageComparison, { colors }: Terminal): string {
  if (sbom.sizes.length === 0) return "";
  const lines = sbom.sizes
    .slice(0, SHOWN_SIZES)
    .map(({ name, beforeBytes, afterBytes }) => `  ${signed(afterBytes - beforeBytes)} ${name} ${colors.dim(formatBytes(afterBytes))}\n`);
  const rest = sbom.sizes.length - lines.length;
  return `${colors.bold("Sizes per package")}\n${lines.join("")}${rest > 0 ? colors.dim(`  and ${rest} more\n`) : ""}`;
}

function fileSection({ files, totals }: ImageComparison, terminal: Terminal, limit: number): string {
  const { colors } = terminal;
  if (files.length === 0) return "";
  const sizes = [
    totals.addedBytes === 0 ? "" : `+${formatBytes(totals.addedBytes)}`,
    totals.removedBytes === 0 ? "" : `-${formatBytes(totals.removedBytes)}`,
    totals.grownBytes === 0 ? "" : `changed files ${signed(totals.grownBytes)}`,
  ].filter((text) => text !== "");
  const chosen = limit >= files.length ? files : largest(files, limit);
  const rest = files.length - chosen.length;
  const lines = chosen.map((file) => `  ${fit(fileLine(file, terminal), terminal.columns - 2)}`);
  return `${colors.bold("Files")}: ${totals.added} added, ${totals.removed} removed, ${totals.changed} changed${sizes.length === 0 ? "" : ` (${sizes.join(", ")})`}\n${lines.join("\n")}\n${rest > 0 ? colors.dim(`  and ${rest} more: --all shows them\n`) : ""}`;
}

/** By how many bytes are new or gone, then in the order of paths. Directories say little. */
function largest(files: readonly FileChange[], limit: number): readonly FileChange[] {
  const weight = (file: FileChange): number =>
    file.kind === "directory" ? -1 : file.change === "changed" ? Math.max(file.sizeBytes, file.sizeBytesBefore ?? 0) : file.sizeBytes;
  const chosen = new Set([...files].sort((a, b) => weight(b) - weight(a)).slice(0, limit));
  return files.filter((file) => chosen.has(file));
}

function fileLine(file: FileChange, { colors }: Terminal): string {
  const path = `${file.path.replaceAll("\u001b", "\\x1b")}${file.kind === "directory" ? "/" : ""}`;
  const size = file.kind === "file" ? colors.dim(`  ${formatBytes(file.sizeBytes)}`) : "";
  if (file.change === "added") return `${colors.green("+")} ${path}${size}`;
  if (file.change === "removed") return `${colors.red("-")} ${path}${size}`;
  const grown =
    file.sizeBytesBefore === undefined ? size : colors.dim(`  ${formatBytes(file.sizeBytesBefore)} → ${formatBytes(file.sizeBytes)}`);
  const aspects = (file.aspects ?? []).filter((aspect) => aspect !== "content");
  return `${colors.yellow("~")} ${path}${grown}${aspects.length === 0 ? "" : colors.dim(`  ${aspects.join(", ")}`)}`;
}

function settingSection({ settings }: ImageComparison, { colors }: Terminal): string {
  if (settings.length === 0) return "";
  return `${colors.bold("Settings")}\n${settings.map(({ setting, before, after }) => `  ${setting}: ${shown(before)} → ${shown(after)}\n`).join("")}`;
}

const shown = (value: JsonValue): string => {
  if (value === null || (Array.isArray(value) && value.length === 0)) return "(none)";
  if (Array.isArray(value)) return value.map(String).join(", ");
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^sha256:[0-9a-f]{64}$/.test(text) ? text.slice(7, 19) : text;
};

const signed = (bytes: number): string => `${bytes < 0 ? "-" : "+"}${formatBytes(Math.abs(bytes))}`;
