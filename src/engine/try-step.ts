import type { StepServices } from "../core/step.ts";
import type { BakeLog } from "../ports/host.ts";
import type { NetworkSession } from "../ports/network-recorder.ts";
import type { Workspace } from "../ports/workspaces.ts";
import { bakeBelow } from "./bake.ts";
import type { BakeInput, BakeOptions } from "./bake-input.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import { runStep } from "./run-step.ts";

/** Who is told what goes on, and what ends it. */
export type Watching = Pick<BakeOptions, "signal" | "report">;

export interface TryOptions extends Watching {
  /** Other services than a bake would grant. */
  adapt?(services: StepServices): StepServices;
  openNetwork(workspace: Workspace, log: BakeLog): Promise<NetworkSession & { close(): Promise<unknown> }>;
}

/** Runs one step on what lies below it, which is baked for it, and throws its result away. */
export async function tryStep(parts: EngineParts, input: BakeInput, bound: BoundStep, options: TryOptions): Promise<void> {
  const { signal, report } = options;
  const below = await bakeBelow(parts, input, bound, options);
  await parts.fetchMissing([{ bound, locked: input.lock?.steps[bound.step.address] }], input.recipe, { signal, progress: () => undefined });
  const bake = parts.newBakeId();
  const log = parts.openLog(bake);
  const workspace = await parts.workspaces.open({
    folder: `${parts.store.workFolder(bake)}/try`,
    lowers: below.diffs,
    runner: "bubblewrap",
  });
  try {
    await runStep(parts, bound, workspace, {
      recipe: input.recipe,
      lock: input.lock,
      epochSeconds: below.epochSeconds,
      signal,
      log,
      tell: (body) => report({ ...body, at: parts.clock.now().toISOString(), bake }),
      openNetwork: () => options.openNetwork(workspace, log),
      ...(options.adapt === undefined ? {} : { adapt: (services) => options.adapt?.(services) ?? services }),
    });
  } finally {
    await workspace.close();
    log.close();
    parts.store.releaseWorkFolder(bake);
  }
}
