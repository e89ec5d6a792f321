import { shortDigest, type ImageDigest, type Sha256 } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { GarbageItem, GarbageKind, GarbageReport } from "../../engine/collect-garbage.ts";
import type { RestoredImage } from "../../engine/set-aside.ts";
import { defineCommand } from "../command.ts";
import { tellGivenUp } from "../cycle/words.ts";
import { parseAge } from "../images/words.ts";
import { withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatBytes, table } from "../text.ts";

export const command = defineCommand({
  name: "gc",
  summary: "Show what nothing refers to any more, and remove it with --apply",
  description: `Kept are: images with a name, in a channel or at work in a cell, those that the recipe's \`retention:\` keeps (without one the newest of each name,
--keep), what all these were baked onto, their papers, mounts, running bakes and shells, and everything that these stand on.
Steps that no image is made of yet, and what --keep-on-failure left, are kept for a while (--recent), because a failed bake goes on from there.
Packages, downloads and recordings may be named by lock files, which lie outside of the store: they go when they were not used for long
(--packages-older-than), or all with --packages; then a bake has to fetch them again, and a mirror may not have them any more.

An image with a grace time (\`retention: { grace: 7d }\`, or --grace) is set aside first: it is no longer listed, nothing of it is removed, and --restore
brings it back. A gc after that time removes it. What was brought back is kept for the grace time again, and at least for a week.

The rules are those of the recipe files that the images were baked from last, as they are now, and of the recipes given. A recipe that is there but cannot be read keeps all
that it has.`,
  arguments: {
    recipes: {
      required: false,
      many: true,
      completes: "file",
      summary: "Recipes whose rules count, besides those that this store knows of",
    },
  },
  options: {
    apply: { summary: "Remove; without it nothing is changed" },
    plan: { summary: "Change nothing, as without --apply, and show everything that is kept with its reason" },
    keep: {
      value: "count",
      type: "count",
      default: 3,
      summary: "How many of the newest images of each name to keep, where the recipe does not say",
    },
    grace: { value: "age", default: "0", summary: "How long images can be brought back, where the recipe does not say" },
    restore: { value: "image", many: true, summary: "Bring back an image that was set aside: name, digest, or its beginning" },
    recent: { value: "age", default: "24h", summary: "Keep steps without an image, and what failed steps left, while younger than this" },
    packagesOlderThan: {
      value: "age",
      default: "30d",
      summary: "Remove packages, downloads and machines to clone that were not used for this long",
    },
    packages: { summary: "Remove all packages and downloads" },
  },
  examples: [
    { line: "gc", does: "What would go, what stays, and why" },
    { line: "gc --apply --keep 1", does: "Only the newest image of each name" },
    { line: "gc --restore shop/release", does: "Bring back the image of this name that was set aside last" },
  ],
  run: async ({ args, options, global, terminal, env, folder, signal }): Promise<GcData> => {
    if (options.plan && options.apply) throw new BakehouseError("USAGE", "--plan changes nothing, --apply does: give one of them");
    if (options.restore.length > 0 && (options.apply || options.plan))
      throw new BakehouseError("USAGE", "--restore brings images back and removes nothing: give it alone");
    if (options.restore.length > 0) {
      const { restoreImages } = await import("../../engine/set-aside.ts");
      return withImages({ global, terminal }, async (parts) => ({ restored: await restoreImages(parts, options.restore, signal) }));
    }
    const { collectGarbage } = await import("../../engine/collect-garbage.ts");
    const { withRetention } = await import("../../presets/retention.ts");
    const { crashAt } = await import("../../adapters/local-host/crash-at.ts");
    return withImages({ global, terminal }, async (parts) =>
      withRetention(
        { store: global.store, env, warn: (message) => terminal.err(`${message}\n`) },
        args.recipes,
        folder,
        async (retention) => {
          const report = await collectGarbage(
            {
              store: parts.store,
              contents: await parts.contents(),
              mounts: await parts.mounts(),
              clock: parts.clock,
              catalog: parts.catalog,
              cells: await parts.cells(),
              fleetPins: await pinsOfFleets(parts.store.path("fleets.db")),
              reach: crashAt(env["BAKEHOUSE_CRASH_AT"]),
            },
            {
              apply: options.apply,
              keep: options.keep,
              rules: retention.rules,
              graceMs: parseAge("--grace", options.grace),
              recentMs: parseAge("--recent", options.recent),
              packagesOlderThanMs: parseAge("--packages-older-than", options.packagesOlderThan),
              packages: options.packages,
              signal,
            },
          );
          if (report.applied) tellGivenUp(await retention.tell(report, signal), terminal);
          const notes = retention.unreadable.map(
            ({ file, message }) => `${file} cannot be read, so nothing of its images goes: ${message.split("\n")[0] ?? ""}`,
          );
          return { ...report, notes: [...report.notes, ...notes] };
        },
      ),
    );
  },
  render: (data, { terminal, global, options }) => {
    const { bold, dim, green, yellow } = terminal.colors;
    if ("restored" in data)
      return data.restored
        .map(({ name, digest, already }) =>
          already ? `${name} ${shortDigest(digest)} is here already\n` : `${green("Brought back")} ${name} ${shortDigest(digest)}\n`,
        )
        .join("");
    const report = data;
    const going = report.items.filter(({ keep, until }) => !keep && until === undefined);
    const aside = report.items.filter(({ keep, until }) => !keep && until !== undefined);
    const kept = report.items.filter(({ keep }) => keep);
    const isWhole = global.verbose || options.plan;
    const sections = [
      going.length === 0 ? "" : `${bold(report.applied ? "Removed" : "Would go")}\n${rows(going, terminal)}`,
      aside.length === 0 ? "" : `${bold(report.applied ? "Set aside" : "Would be set aside")}\n${rows(aside.map(withUntil), terminal)}`,
      kept.length === 0 ? "" : `${bold("Kept")}\n${isWhole ? rows(kept, terminal) : summary(kept, terminal)}`,
      report.notes.map((note) => `${yellow("note")} ${note}\n`).join(""),
    ].filter((part) => part !== "");
    const freed = `${formatBytes(report.removedBytes)} in ${count(going.length, "thing")}`;
    const end =
      going.length + aside.length === 0
        ? `${green("Nothing to remove.")} ${formatBytes(report.keptBytes)} are in use.\n`
        : report.applied
          ? `${green("Freed")} ${freed}; ${formatBytes(report.keptBytes)} are in use.${aside.length === 0 ? "" : ` ${dim("bakehouse gc --restore IMAGE brings back what was set aside.")}`}\n`
          : `${freed} would be freed, ${formatBytes(report.keptBytes)} are in use. ${dim("Nothing was changed;")} bakehouse gc --apply removes.\n`;
    return [...sections, end].join("\n");
  },
});

type GcData = GarbageReport | { readonly restored: readonly RestoredImage[] };

const withUntil = (item: GarbageItem): GarbageItem => ({
  ...item,
  why: `${item.why}; can be brought back until ${(item.until ?? "").slice(0, 16)}Z`,
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
  snapshots: "machine to clone",
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

async function pinsOfFleets(file: string): Promise<ReadonlyMap<ImageDigest, string>> {
  const { openSqliteFleets } = await import("../../adapters/sqlite-fleets/sqlite-fleets.ts");
  const { fleetPins } = await import("../../engine/fleet-pins.ts");
  const records = openSqliteFleets(file, { readOnly: true }); // one that never had a fleet gets no file for them
  try {
    return fleetPins(records);
  } finally {
    records.close();
  }
}
