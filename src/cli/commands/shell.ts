import { existsSync } from "node:fs";
import type { Cells } from "../../ports/cells.ts";
import type { ImageParts } from "../../presets/images.ts";
import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "shell",
  summary: "Open a shell in an image, a cell, or what a failed step left",
  description: `The shell runs in the sandbox that steps run in: as root of the image, without network unless --network is given.
What is changed in an image is thrown away at the end. With --failed it opens what a step left that failed under
\`bake --keep-on-failure\`; changes to that stay until gc. In a cell that runs it is one more program of that machine. After -- follows a command to run instead; its exit code is passed on.`,
  arguments: {
    image: {
      required: false,
      summary: "Name or digest, or a cell; with --failed the id of the bake (default: the newest that was kept)",
      completes: "none",
    },
    command: { required: false, many: true, summary: "A command and its arguments instead of a shell", completes: "none" },
  },
  options: {
    failed: { summary: "Open the state that a failed step left" },
    network: { summary: "With the network of this machine" },
    runner: { value: "name", choices: ["bubblewrap", "runc"], default: "bubblewrap", summary: "What it runs in" },
  },
  examples: [
    { line: "shell shop", does: "Look around in the release" },
    { line: "shell shop/base -- dpkg -l", does: "Run one command" },
    { line: "shell --failed", does: "What the last failed step left" },
  ],
  run: async ({ args, options, global, terminal, env, signal }) => {
    const { openShell } = await import("../../engine/open-shell.ts");
    const words = [...(args.image === undefined ? [] : [args.image]), ...(args.command ?? [])];
    // `shell --failed -- ls`: the first word is a bake only if it looks like the id of one
    const isBake = /^\d{8}(-|$)/.test(words[0] ?? "");
    const [image, command] = options.failed && !isBake ? [undefined, words] : [words[0], words.slice(1)];
    return withImages({ global, terminal }, async (parts): Promise<{ readonly exitCode: number }> => {
      const cells = image === undefined ? undefined : await cellsOf(parts);
      const cell = cells?.list().find(({ id, name }) => id === image || name === image);
      if (cells !== undefined && cell !== undefined) {
        const { defaultShell } = await import("../../engine/run-cell.ts");
        const { runHere } = await import("../cells/run-here.ts");
        return { exitCode: await runHere(cells.find(cell.id), command.length > 0 ? command : defaultShell, { env, signal }) };
      }
      return openShell(await parts.shells(), {
        ...(image === undefined ? {} : { image }),
        failed: options.failed,
        command,
        network: options.network ? "open" : "none",
        runner: options.runner,
        signal,
        onOpen: (target) => {
          if (command.length > 0 || global.quiet) return;
          const { bold, dim } = terminal.errorColors;
          terminal.err(
            `${bold(target.title)} ${dim(target.discarded ? "(whatever you change here is thrown away when you leave)" : "(what you change here stays until gc)")}\n`,
          );
        },
      });
    });
  },
  render: () => "",
  exitCode: ({ exitCode }) => exitCode,
});

/** Loaded only where there are cells: a shell in an image should not wait for them. */
const cellsOf = async (parts: ImageParts): Promise<Cells | undefined> =>
  existsSync(parts.store.path("cells")) ? parts.cells() : undefined;
