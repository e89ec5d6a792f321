import { shortDigest, type Sha256 } from "../../core/digest.ts";
import type { GarbageItem, GarbageKind } from "../../engine/collect-garbage.ts";
import { defineCommand } from "../command.ts";
import { parseAge } from "../images/words.ts";
import { withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "gc",
  summary: "Show what nothing refers to any more, and remove it with --apply",
  description: `Kept are: images with a name, the newest ones of each name (--keep), what they were baked onto, the papers of all these, mounts, cells, running bakes and shells, failures that
were kept, and everything that these stand on. Steps that no image is made of yet are kept for a while (--recent), because a failed bake goes on from there.
Packages, downloads and recordings may be named by lock files, which lie outside of the store: they go when they were not used for long
(--packages-older-than), or all with --packages; then a bake has to fetch them again, and a mirror may not have them any more.`,
  options: {
    apply: { summary: "Remove; without it nothing is changed" },
    keep: { value: "count", type: "count", default: 3, summary: "How many of the newest images of each name to keep" },
    recent: { value: "age", default: "24h", summary: "Keep steps without an image while younger than this" },
    packagesOlderThan: { value: "age", default: "30d", summary: "Remove packages and downloads that were not used for this long" },
    packages: { summary: "Remove all packages and downloads" },
  },
  examples: [
    { line: "gc", does: "What would go, what stays, and why" },
    { line: "gc --apply --keep 1", does: "Only the newest image of each name" },
  ],
  run: async ({ options, global, terminal, signal }) => {
    const { collectGarbage } = await import("../../engine/collect-garbage.ts");
    return withImages({ global, terminal }, async (parts) =>
      collectGarbage(
        {
          store: parts.store,
          contents: await parts.contents(),
          mounts: await parts.mounts(),
          cells: await parts.cells(),
          clock: parts.clock,
          catalog: parts.catalog,
        },
        {
          apply: options.apply,
          keep: options.keep,
          recentMs: parseAge("--recent", options.recent),
          packagesOlderThanMs: parseAge("--packages-older-than", options.packagesOlderThan),
          packages: options.packages,
          signal,
        },
      ),
    );
  },
  render: (report, { terminal, global }) => {
    const { bold, dim, green, yellow } = terminal.colors;
    const going = report.items.filter(({ keep }) => !keep);
    const kept = report.items.filter(({ keep }) => keep);
    const sections = [
      going.length === 0 ? "" : `${bold(report.applied ? "Removed" : "Would go")}\n${rows(going, terminal)}`,
      kept.length === 0 ? "" : `${bold("Kept")}\n${global.verbose ? rows(kept, terminal) : summary(kept, terminal)}`,
      report.notes.map((note) => `${yellow("note")} ${note}\n`).join(""),
    ].filter((part) => part !== "");
    const freed = `${formatBytes(report.removedBytes)} in ${count(going.length, "thing")}`;
    const end =
      going.length === 0
        ? `${green("Nothing to remove.")} ${formatBytes(report.keptBytes)} are in use.\n`
        : report.applied
          ? `${green("Freed")} ${freed}; ${formatBytes(report.keptBytes)} are in use.\n`
          : `${freed} would be freed, ${formatBytes(report.keptBytes)} are in use. ${dim("Nothing was changed;")} bakehouse gc --apply removes.\n`;
    return [...sections, end].join("\n");
  },
});

const LABELS: Partial<Record<GarbageKind, string>> = {
  work: "work folder",
  lent: "lent tools",
  apt: "package lists",
  plans: "notes",
  temporary: "half-written",
  recorded: "recording",
  downloads: "download",
  packages: "package",
  logs: "log",
};

function rows(items: readonly GarbageItem[], terminal: Terminal): string {
  const cells = items.map((item) => [
    LABELS[item.kind] ?? item.kind,
    shownId(item),
    item.sizeBytes === 0 ? "" : formatBytes(item.sizeBytes),
    item.why,
  ]);
  return table([{ title: "" }, { title: "", minimum: 12 }, { title: "", align: "right" }, { title: "", minimum: 16 }], cells, {
    width: terminal.columns,
  }).replace(/^ *\n/, "");
}

function shownId({ id, name }: GarbageItem): string {
  const short = /^sha256:[0-9a-f]{64}$/.test(id)
    ? shortDigest(id as Sha256)
    : id.replace(/^([0-9a-f]{12})[0-9a-f]{52}\.json$/, "$1").replace(/([0-9a-f]{12})[0-9a-f]{52}/, "$1…");
  return name === undefined || name === "" ? short : `${name} (${short})`;
}

/** What is kept, by kind and reason, so that hundreds of blobs take a few lines. `--verbose` shows each. */
function summary(items: readonly GarbageItem[], terminal: Terminal): string {
  const groups = new Map<
    string,
    { readonly kind: GarbageKind; readonly why: string; count: number; sizeBytes: number; readonly example: string }
  >();
  for (const item of items) {
    const one =
      item.kind === "mount" ||
      item.kind === "cell" ||
      item.kind === "work" ||
      item.kind === "image" ||
      item.kind === "volume" ||
      item.kind === "launch";
    const why = one
      ? item.why
      : item.why
          .replace(/^image (\S+) (needs it|is made of it)$/, "images need it")
          .replace(/^the papers of .*$/, "papers of images need it")
          .replace(/^the (mount|kept failure|recent step) .*$/, "a $1 needs it");
    const key = one ? `${item.kind} ${item.id}` : `${item.kind} ${why}`;
    const group = groups.get(key) ?? { kind: item.kind, why, count: 0, sizeBytes: 0, example: shownId(item) };
    group.count += 1;
    group.sizeBytes += item.sizeBytes;
    groups.set(key, group);
  }
  const cells = [...groups.values()].map((group) => [
    LABELS[group.kind] ?? group.kind,
    group.count === 1 ? group.example : `${group.count} of them`,
    group.sizeBytes === 0 ? "" : formatBytes(group.sizeBytes),
    group.why,
  ]);
  return table([{ title: "" }, { title: "", minimum: 12 }, { title: "", align: "right" }, { title: "", minimum: 16 }], cells, {
    width: terminal.columns,
  }).replace(/^ *\n/, "");
}
