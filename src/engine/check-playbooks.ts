import type { PlaybookChange, PlaybookSummary } from "../ports/ansible-runner.ts";
import { bakeBelow, type BakeInput, type BakeOptions } from "./bake.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import type { BakePlan } from "./plan-bake.ts";
import { runStep } from "./run-step.ts";

export interface PlaybookCheck {
  readonly address: string;
  readonly changes: readonly PlaybookChange[];
}

/** Runs each playbook that a plan would bake in Ansible's check mode. What lies below it is baked first; what the check leaves is thrown away. */
export async function checkPlaybooks(parts: EngineParts, input: BakeInput, plan: BakePlan, watching: Pick<BakeOptions, "signal" | "report">): Promise<readonly PlaybookCheck[]> {
  const misses = new Set(plan.layers.flatMap((layer) => layer.steps.filter((step) => !step.hit).map((step) => step.address)));
  const checks: PlaybookCheck[] = [];
  for (const bound of input.steps)
    if (misses.has(bound.step.address) && bound.definition.needs.includes("ansible")) checks.push({ address: bound.step.address, changes: (await check(parts, input, bound, watching)).changes });
  return checks;
}

async function check(parts: EngineParts, input: BakeInput, bound: BoundStep, watching: Pick<BakeOptions, "signal" | "report">): Promise<PlaybookSummary> {
  const below = await bakeBelow(parts, input, bound, watching);
  await parts.fetchMissing([{ bound, locked: input.lock?.steps[bound.step.address] }], input.recipe, { signal: watching.signal, progress: () => undefined });
  const bake = parts.newBakeId();
  const log = parts.openLog(bake);
  const workspace = await parts.workspaces.open({ folder: `${parts.store.workFolder(bake)}/check`, lowers: below.diffs, runner: "bubblewrap" });
  let summary: PlaybookSummary = { ok: 0, changed: 0, skipped: 0, forgiven: 0, changes: [] };
  try {
    await runStep(parts, bound, workspace, {
      recipe: input.recipe,
      lock: input.lock,
      epochSeconds: below.epochSeconds,
      signal: watching.signal,
      log,
      tell: (body) => watching.report({ ...body, at: parts.clock.now().toISOString(), bake }),
      adapt: (services) => ({ ...services, ansible: { ...services.ansible, run: async (playbook, context) => (summary = await services.ansible.check(playbook, context)) } }),
      openNetwork: async () => {
        const recorded = input.lock?.steps[bound.step.address]?.recorded ?? [];
        return parts.network.replay({ address: bound.step.address, namespacePid: workspace.holderPid, mirrors: await parts.mirrors(input.recipe), signal: watching.signal, log: () => undefined }, recorded);
      },
    });
    return summary;
  } finally {
    await workspace.close();
    log.close();
    parts.store.releaseWorkFolder(bake);
  }
}
