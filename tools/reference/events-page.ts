import { NOTICES } from "../../src/core/notices/notice.ts";
import { cell, fieldTable } from "./schema-text.ts";

/** docs/reference/events.md: every type of notice with its data. */
export function eventsPage(): string {
  const types = Object.entries(NOTICES);
  return [
    "# Events",
    "",
    "What happens to recipes, images and channels. Each is kept in the catalog and sent to where the recipe's `notify:` says, see",
    "[the cycle](../guide/cycle.md#notifications). A body is a [CloudEvent](https://cloudevents.io/) 1.0 in structured mode:",
    "",
    "| Field | Meaning |",
    "|---|---|",
    '| `specversion` | `"1.0"` |',
    "| `id` | unique, sortable by time; the same in every try of a delivery |",
    "| `source` | `/bakehouse/<host>` |",
    "| `type` | one of the types below |",
    "| `version` | of this type; raised when a field goes or changes its meaning, not when one is added |",
    "| `time` | ISO 8601, UTC |",
    "| `subject` | the recipe, or the image by name or digest |",
    '| `datacontenttype` | `"application/json"` |',
    "| `data` | as below |",
    "",
    "| Type | Version | It means |",
    "|---|---|---|",
    ...types.map(([type, { version, summary }]) => `| [\`${type}\`](#${type.replace(".", "")}) | ${version} | ${cell(summary)} |`),
    "",
    ...types.flatMap(([type, { data, summary }]) => [`## ${type}`, "", `${summary}.`, "", fieldTable(data)]),
  ].join("\n");
}
