import type { PlaybookChange, PlaybookSummary } from "../ports/ansible-runner.ts";
import type { BakeInput } from "./bake-input.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import type { BakePlan } from "./plan-bake.ts";
import { tryStep, type Watching } from "./try-step.ts";

export interface PlaybookCheck {
  readonly address: string;
  readonly changes: readonly PlaybookChange[];
  /** See `PlaybookSummary`. */
  readonly stoppedBy?: string;
}

/** Runs each playbook that a plan would bake in Ansible's check mode. What lies below it is baked first; what the check leaves is thrown away. */
export async function checkPlaybooks(
  parts: EngineParts,
  input: BakeInput,
  plan: BakePlan,
  watching: Watching,
): Promise<readonly PlaybookCheck[]> {
  const misses = new Set(plan.layers.flatMap((layer) => layer.steps.filter((step) => !step.hit).map((step) => step.address)));
  const checks: PlaybookCheck[] = [];
  for (const bound of input.steps)
    if (misses.has(bound.step.address) && bound.definition.needs.includes("ansible"))
      checks.push({ address: bound.step.address, ...(await check(parts, input, bound, watching)) });
  return checks;
}

async function check(parts: EngineParts, input: BakeInput, bound: BoundStep, watching: Watching): Promise<Omit<PlaybookCheck, "address">> {
  const { address } = bound.step;
  let summary: PlaybookSummary | undefined;
  await tryStep(parts, input, bound, {
    ...watching,
    adapt: (services) => ({
      ...services,
      ansible: { ...services.ansible, run: async (playbook, context) => (summary = await services.ansible.check(playbook, context)) },
    }),
    openNetwork: async ({ holderPid }, log) => {
      const mirrors = await parts.mirrors(input.recipe);
      const recorded = input.lock?.steps[address]?.recorded ?? [];
      return parts.network.replay(
        { address, namespacePid: holderPid, mirrors, signal: watching.signal, log: (line) => log.write(address, line) },
        recorded,
      );
    },
  });
  return { changes: summary?.changes ?? [], ...(summary?.stoppedBy === undefined ? {} : { stoppedBy: summary.stoppedBy }) };
}
