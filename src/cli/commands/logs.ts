import { defineCommand } from "../command.ts";
import { withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "logs",
  summary: "Show what the steps of a bake printed",
  arguments: { bake: { required: false, summary: "Id of the bake or its beginning (default: the last)", completes: "none" } },
  options: {
    step: { short: "s", value: "step", summary: "Only this step: base/apt, or apt" },
    follow: { short: "f", summary: "Go on until the bake ends" },
  },
  examples: [
    { line: "logs", does: "The last bake" },
    { line: "logs 20261122-1104 --step base/apt", does: "One step of an older one" },
    { line: "logs --follow", does: "A bake that runs in another terminal" },
  ],
  run: async ({ args, options, global, terminal, signal }) => {
    const { followLogs, readLogs } = await import("../../engine/read-logs.ts");
    const request = {
      ...(args.bake === undefined ? {} : { bake: args.bake }),
      ...(options.step === undefined ? {} : { step: options.step }),
    };
    return withImages({ global, terminal }, async (parts) => {
      const logs = await parts.logs();
      if (!options.follow) {
        const found = readLogs(logs, request);
        // on stderr: what follows in a pipe gets the lines of the log and nothing else
        if (found.lines.length === 0 && !global.json && !global.quiet)
          terminal.err(
            `Nothing was printed in bake ${found.bake}${options.step === undefined ? "" : ` by ${options.step}`}. A step that comes from the cache prints nothing.\n`,
          );
        return found;
      }
      const { setTimeout: sleep } = await import("node:timers/promises");
      const catalog = await parts.catalog();
      const followed = await followLogs(logs, {
        ...request,
        signal,
        pause: () => sleep(FOLLOW_MS, undefined, { signal }).catch(() => undefined),
        isRunning: async (bake) => (await catalog.bake(bake))?.outcome === "running",
        onLine: ({ step, line }) =>
          terminal.out(global.json ? `${JSON.stringify({ step, line })}\n` : text(step, line, options.step !== undefined)),
      });
      return { bake: followed.bake, file: logs.path(followed.bake), lines: [] };
    });
  },
  render: ({ lines }, { options }) => lines.map(({ step, line }) => text(step, line, options.step !== undefined)).join(""),
});

/** Short enough to look live; asking costs a stat and a query. */
const FOLLOW_MS = 250;

const text = (step: string, line: string, onlyOne: boolean): string => (onlyOne || step === "" ? `${line}\n` : `${step}: ${line}\n`);
