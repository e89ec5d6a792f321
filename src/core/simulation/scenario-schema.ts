import { z } from "zod";
import type { JsonValue } from "../json.ts";
import { SCENARIO_VERSION, scenarioSchema } from "./scenario.ts";

/** The JSON Schema of scenarios, as they are written. */
export const scenarioJsonSchema = (): JsonValue => ({
  ...(z.toJSONSchema(scenarioSchema, { io: "input", unrepresentable: "any" }) as Readonly<Record<string, JsonValue>>),
  title: "Bakehouse scenario",
  description: `A fleet, an image, a policy and what goes wrong (version ${SCENARIO_VERSION}).`,
});
