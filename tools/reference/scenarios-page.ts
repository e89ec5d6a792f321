import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseScenario } from "../../src/core/simulation/parse-scenario.ts";
import type { Scenario } from "../../src/core/simulation/scenario.ts";
import { cell } from "./schema-text.ts";

/** docs/reference/scenarios.md: what each scenario of the gallery is about, and how it has to end. */
export function scenariosPage(folder: string): string {
  const rows = readdirSync(folder)
    .filter((name) => name.endsWith(".yaml"))
    .sort()
    .map((name) => {
      const { scenario } = parseScenario(readFileSync(join(folder, name), "utf8"), name);
      return `| [${name.replace(/\.yaml$/, "")}](../scenarios/${name}) | ${cell(scenario.title)} | ${cell(endOf(scenario))} |`;
    });
  return [
    "# Scenarios",
    "",
    "Each of them goes through the code that moves real fleets, on a virtual clock, with its own seed and four more in CI, and has to end as it says:",
    "`bakehouse simulate docs/scenarios`. What can stand in one: [Rollouts, simulated](../guide/simulation.md).",
    "",
    "| Scenario | What happens | It ends |",
    "|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

function endOf({ expect }: Scenario): string {
  const { refused, status, reason, moved } = expect ?? {};
  if (refused !== undefined) return `refused: ${refused}`;
  const how = [status ?? "", reason ?? ""].filter(Boolean).join(": ");
  return [how, moved === undefined ? "" : `${moved} moved`].filter(Boolean).join(", ");
}
