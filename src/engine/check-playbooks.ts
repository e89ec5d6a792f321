import { BakehouseError } from "../core/errors.ts";
import type { PlaybookChange } from "../ports/ansible-runner.ts";
import type { BakeInput } from "./bake.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import type { BakePlan } from "./plan-bake.ts";
import { tryStep, type Watching } from "./try-step.ts";

export interface PlaybookCheck {
  readonly address: string;
  readonly changes: readonly PlaybookChange[];
  /**
   * Why check mode got no further. Says little about the bake: a task that builds on what an earlier one would have done
   * (a package list, a file) finds nothing there in check mode.
   */
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
  let changes: readonly PlaybookChange[] = [];
  const run = tryStep(parts, input, bound, {
    ...watching,
    adapt: (services) => ({
      ...services,
      ansible: {
        ...services.ansible,
        run: async (playbook, context) => {
          const summary = await services.ansible.check(playbook, context);
          changes = summary.changes;
          return summary;
        },
      },
    }),
    openNetwork: async ({ holderPid }, log) => {
      const mirrors = await parts.mirrors(input.recipe);
      return parts.network.replay(
        { address, namespacePid: holderPid, mirrors, signal: watching.signal, log: (line) => log.write(address, line) },
        input.lock?.steps[address]?.recorded ?? [],
      );
    },
  });
  try {
    await run;
    return { changes };
  } catch (error) {
    if (error instanceof BakehouseError && error.code === "STEP_FAILED") return { changes, stoppedBy: error.message };
    throw error;
  }
}
