import type { Damage } from "../../engine/verify-store.ts";
import { defineCommand } from "../command.ts";
import { percent, progressLine } from "../images/progress-line.ts";
import { withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { count, formatBytes, formatDuration } from "../text.ts";

export const command = defineCommand({
  name: "verify",
  summary: "Read the whole store again and say what is damaged",
  description: `Hashes every blob, compares every unpacked diff with its tar (names, sizes, modes, owners, times; with --deep also contents
and extended attributes), and checks step records, index and catalog. With --repair it mends what can be mended from what is whole and takes away the
rest, so that the next bake makes it again. Exit code 1 when something is damaged and was not repaired.`,
  options: {
    deep: { summary: "Also the contents and extended attributes of unpacked diffs" },
    repair: { summary: "Mend, or take away what is damaged" },
  },
  examples: [
    { line: "verify", does: "Is everything what its name says?" },
    { line: "verify --deep --repair", does: "After a crash of the disk" },
  ],
  run: async ({ options, global, terminal, signal }) => {
    const { verifyStore } = await import("../../engine/verify-store.ts");
    const line = progressLine({ global, terminal });
    return withImages({ global, terminal }, async (parts) =>
      verifyStore(
        { store: parts.store, contents: await parts.contents(), clock: parts.clock, catalog: parts.catalog },
        {
          deep: options.deep,
          repair: options.repair,
          signal,
          onProgress: (done, total, what) => line.show(`Verifying ${what}: ${percent(done, total)}`),
        },
      ).finally(() => line.end()),
    );
  },
  render: (result, { terminal }) => {
    const { green, red } = terminal.colors;
    const rate = result.hashingMs > 0 ? ` at ${formatBytes((1000 * result.blobBytes) / result.hashingMs)}/s` : "";
    const read = `${count(result.blobs, "blob")} (${formatBytes(result.blobBytes)}${rate}), ${count(result.diffs, "diff")}, ${count(result.steps, "step record")}, ${count(result.images, "image")} in ${formatDuration(result.durationMs)}`;
    if (result.damaged.length === 0) return `${green("Sound")}: ${read}\n`;
    const repaired = result.damaged.filter((damage) => damage.repaired !== undefined).length;
    const left = result.damaged.length - repaired;
    const verdict =
      left > 0
        ? `${red(`${count(left, "thing")} damaged`)}; bakehouse verify --repair mends or removes ${left === 1 ? "it" : "them"}.`
        : `${green("Repaired")}: ${count(repaired, "thing")}. bakehouse bake makes again what was removed.`;
    return `${result.damaged.map((damage) => damageText(damage, terminal)).join("")}${verdict}\n${read}\n`;
  },
  exitCode: ({ sound }) => (sound ? 0 : 1),
});

function damageText({ kind, id, problem, affects, repaired }: Damage, { colors }: Terminal): string {
  const affected =
    affects.length === 0
      ? ""
      : `    ${colors.dim("used by")} ${affects.slice(0, 6).join(", ")}${affects.length > 6 ? ` and ${affects.length - 6} more` : ""}\n`;
  return `${colors.red(kind)} ${id}\n    ${problem}\n${affected}${repaired === undefined ? "" : `    ${colors.green(repaired)}\n`}`;
}
