import { shortDigest } from "../../core/digest.ts";
import { defineCommand } from "../command.ts";
import { parseFiles, parsePublish } from "../cells/arguments.ts";
import { followCell } from "../cells/follow.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";
import { formatDuration } from "../text.ts";

export const command = defineCommand({
  name: "run",
  summary: "Boot an image here as a cell, in under a second",
  description: `A cell is a machine of its own as far as its programs can tell: systemd as process 1, its own processes, files, network and cgroup.
What it writes is kept in memory and gone when it ends. It reaches nothing outside: its only route leads into a trap, and \`--publish\` is the
way in. Without --foreground it runs until \`bakehouse stop\`; with it, the journal is shown and Ctrl-C ends it.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    name: { short: "n", value: "name", summary: "What to call it, also its host name where the image names none (default: made up)" },
    publish: { short: "p", value: "ports", many: true, summary: "8080:80: port 8080 of this machine's loopback is the cell's port 80" },
    file: {
      value: "path=content",
      many: true,
      summary: "A file that it is given: /etc/shop.conf=text, or =@file for a file of this machine",
    },
    foreground: { summary: "Stay, show the journal, end it with Ctrl-C" },
    timeout: { value: "seconds", type: "count", default: 60, summary: "How long to wait until everything is started" },
  },
  examples: [
    { line: "run shop --publish 8080:80", does: "The release, at http://127.0.0.1:8080" },
    { line: "run shop --name blue --file /etc/shop.conf=colour=blue", does: "With settings of its own" },
    { line: "run shop --foreground", does: "For a look; ends with Ctrl-C" },
  ],
  run: async ({ args, options, global, terminal, folder, signal }) => {
    const publish = parsePublish(options.publish);
    const files = parseFiles(options.file, folder);
    const { runCell } = await import("../../engine/run-cell.ts");
    return withImages({ global, terminal }, async (parts) => {
      const { cell, shown } = await runCell(
        { store: parts.store, cells: await parts.cells(), clock: parts.clock },
        {
          image: args.image,
          publish,
          files,
          attached: options.foreground,
          timeoutMs: options.timeout * 1000,
          signal,
          ...(options.name === undefined ? {} : { name: options.name }),
        },
      );
      if (!options.foreground) return { ...shown, ended: false };
      try {
        if (!global.quiet) terminal.err(`${shown.name} runs ${shown.image.name}${waysIn(shown.publish)}; Ctrl-C ends it.\n`);
        await followCell(cell, {
          lines: 1000,
          signal,
          onLine: (line) => terminal.out(global.json ? `${JSON.stringify({ line })}\n` : `${line}\n`),
        });
        return { ...shown, ended: true };
      } finally {
        await cell.stop({ now: false });
      }
    });
  },
  render: (cell, { terminal, global }) => {
    const { bold, dim, yellow } = terminal.colors;
    if (cell.ended) return "";
    const took = cell.bootMs === undefined ? "still starting" : `up after ${formatDuration(cell.bootMs)}`;
    const failed = cell.failed.length === 0 ? "" : yellow(`Failed: ${cell.failed.join(", ")}\n`);
    const next = global.quiet ? "" : dim(`bakehouse exec ${cell.name} -- …, logs ${cell.name}, stop ${cell.name}\n`);
    return `${bold(cell.name)} runs ${cell.image.name} ${dim(shortDigest(cell.image.digest))}, ${took}${waysIn(cell.publish)}\n${failed}${next}`;
  },
});

const waysIn = (publish: readonly { readonly hostPort: number; readonly cellPort: number }[]): string =>
  publish.map(({ hostPort, cellPort }) => `\n  http://127.0.0.1:${hostPort}/ → its port ${cellPort}`).join("");
