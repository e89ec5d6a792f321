import { defineCommand } from "../command.ts";
import { withCycles } from "../cycle/with-cycles.ts";
import { storeExists } from "../images/with-images.ts";
import { formatTime } from "../images/words.ts";
import { table } from "../text.ts";

export const command = defineCommand({
  name: "events",
  summary: "List what happened, and who was told",
  description:
    "Everything that recipes' `notify:` tells, newest first, with what became of telling it. What is in an event is in docs/reference/events.md.",
  options: { limit: { value: "count", type: "count", default: 20, summary: "How many of the newest to list" } },
  examples: [
    { line: "events", does: "What happened, and which webhook was not reached" },
    { line: "events --limit 100 --json", does: "The events themselves" },
  ],
  run: async ({ options, global, terminal, env, report }) => {
    if (!storeExists(global.store)) return { events: [] };
    return withCycles({ global, terminal, env, report }, async (cycles) => ({
      events: await cycles.bakehouse.parts.catalog().notices.list(options.limit),
    }));
  },
  render: ({ events }, { terminal }) => {
    if (events.length === 0) return "Nothing happened yet.\n";
    const { red, dim, yellow } = terminal.colors;
    const rows = events.map(({ notice, deliveries }) => [
      formatTime(notice.time),
      notice.type,
      notice.subject,
      deliveries
        .map(({ target, outcome, message = "" }) =>
          outcome === "delivered"
            ? target
            : outcome === "failed"
              ? red(`${target} failed: ${message}`)
              : yellow(`${target} pending${message === "" ? "" : `: ${message}`}`),
        )
        .join(", "),
    ]);
    return table([{ title: "time" }, { title: "event" }, { title: "about", minimum: 8 }, { title: "told", minimum: 8 }], rows, {
      width: terminal.columns,
      styleTitle: dim,
    });
  },
});
