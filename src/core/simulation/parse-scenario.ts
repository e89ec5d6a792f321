import { problemsError } from "../errors.ts";
import { Inspection } from "../recipe/inspect.ts";
import { limitProblems } from "../recipe/problems.ts";
import { readYaml } from "../recipe/read-yaml.ts";
import { suggestion } from "../text/did-you-mean.ts";
import { NAMED_POLICIES } from "./named-policies.ts";
import { scenarioSchema, type PolicySource, type Scenario } from "./scenario.ts";

export interface ParsedScenario {
  readonly scenario: Scenario;
  readonly policy: PolicySource;
}

/**
 * Reads a scenario.
 *
 * @param file  what problems call the text
 * @throws SCENARIO_INVALID with every mistake, each with its line and column
 */
export function parseScenario(text: string, file: string): ParsedScenario {
  const yaml = readYaml(text, file);
  const inspection = new Inspection(yaml, file);
  inspection.problems.push(...yaml.problems);
  const scenario = yaml.readable ? inspection.check(scenarioSchema, yaml.value ?? {}, []) : undefined;
  const policy = scenario === undefined ? undefined : policyIn(scenario, inspection);
  if (scenario === undefined || policy === undefined) throw problemsError("SCENARIO_INVALID", limitProblems(inspection.problems, file));
  return { scenario, policy };
}

function policyIn({ policy }: Scenario, inspection: Inspection): PolicySource | undefined {
  if (typeof policy !== "string") return policy;
  const named = NAMED_POLICIES[policy]?.policy;
  if (named === undefined)
    inspection.error(["policy"], `no policy is called "${policy}"`, suggestion(policy, Object.keys(NAMED_POLICIES), "policies"));
  return named;
}
