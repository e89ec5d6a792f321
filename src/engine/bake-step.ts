import type { DiffId, Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody } from "../core/events.ts";
import type { BakeLog } from "../ports/host.ts";
import type { ReplaySession } from "../ports/network-recorder.ts";
import type { StepRecord } from "../ports/store.ts";
import type { RunnerName, Workspace } from "../ports/workspaces.ts";
import type { BakeInput } from "./bake-input.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import type { LayerBase } from "./plan-bake.ts";
import { runStep, type StepEnvironment } from "./run-step.ts";
import { stepFacts, type StepFacts } from "./step-key.ts";

/** What a bake gives to each step that it bakes. */
export interface StepWork {
  readonly parts: EngineParts;
  readonly input: Pick<BakeInput, "recipe" | "lock">;
  readonly runner: RunnerName;
  readonly signal: AbortSignal;
  readonly log: BakeLog;
  tell(body: EventBody): void;
  /** Leaves what a failed step made for a look, where that is asked for. */
  keep(folder: string, address: string, lowers: readonly DiffId[]): void;
}

/** A step, and what its key was made of. */
export interface FactualStep {
  readonly bound: BoundStep;
  readonly facts: StepFacts;
}

/** What is recorded of a result beside the result. */
interface About {
  readonly key: Sha256;
  readonly address: string;
  readonly facts: StepFacts;
  readonly startedMs: number;
}

/**
 * Runs a step on what lies below it, and takes what it changed into the store.
 *
 * @param folder  of its own, below the bake's work folder
 */
export async function bakeStep(
  work: StepWork,
  { bound, facts, key }: FactualStep & { readonly key: Sha256 },
  at: LayerBase,
  folder: string,
): Promise<StepRecord> {
  const { parts } = work;
  const { address } = bound.step;
  const startedMs = parts.clock.elapsedMs();
  const workspace = await parts.workspaces.open({ folder, lowers: at.diffs, runner: work.runner });
  parts.reach("workspace-open", address);
  try {
    await runStep(parts, bound, workspace, environmentOf(work, at.epochSeconds));
    parts.reach("step-ran", address);
  } catch (error) {
    await workspace.close();
    work.keep(folder, address, at.diffs);
    throw error;
  }
  await settled(workspace.close(), () => refuseMovedInputs(work, [{ bound, facts }], at.epochSeconds));
  parts.reach("workspace-closed", address);
  return takeDiff(work, bound, workspace.upper, `${folder}/diff.tar`, at, { key, address, facts, startedMs });
}

/** Runs all steps of a layer on its root image, and makes one read-only volume of what they put at its path. */
export async function bakeVolume(
  work: StepWork,
  steps: readonly FactualStep[],
  base: LayerBase,
  path: string,
  about: About,
  folder: string,
): Promise<StepRecord> {
  const { parts, signal } = work;
  const workspace = await parts.workspaces.open({ folder, lowers: base.diffs, runner: work.runner });
  try {
    for (const { bound } of steps) await runStep(parts, bound, workspace, environmentOf(work, base.epochSeconds));
  } catch (error) {
    await workspace.close();
    work.keep(folder, about.address, base.diffs);
    throw error;
  }
  await settled(workspace.close(), () => refuseMovedInputs(work, steps, base.epochSeconds));
  const lower = parts.lowerLookup(base.diffs);
  await parts.diffs.normalise(workspace.upper, { lowerHas: (inside) => lower(inside).exists });
  await refuseSecrets(
    work,
    steps.map(({ bound }) => bound),
    workspace.upper,
  );
  refuseOutside(work, workspace.upper, path, about.address);
  const target = `${folder}/volume.erofs`;
  const volume = await parts.buildVolume(`${workspace.upper}${path}`, target, { epochSeconds: base.epochSeconds, signal });
  parts.reach("diff-written", about.address);
  parts.store.blobs.adopt(target, volume.digest);
  parts.reach("blob-adopted", about.address);
  return saved(work, { diffId: volume.digest, sizeBytes: volume.sizeBytes, entries: 0 }, about);
}

async function takeDiff(work: StepWork, bound: BoundStep, upper: string, target: string, at: LayerBase, about: About): Promise<StepRecord> {
  const { parts, signal } = work;
  const lower = parts.lowerLookup(at.diffs);
  if (bound.requirements.lent !== undefined) parts.dropIdleWhiteouts(upper, (path) => lower(path).exists);
  await parts.diffs.normalise(upper, { lowerHas: (path) => lower(path).exists });
  parts.reach("normalised", about.address);
  await refuseSecrets(work, [bound], upper);
  const summary = await parts.diffs.write({
    directory: upper,
    target,
    epochSeconds: at.epochSeconds,
    lowerHasDirectory: (path) => lower(path).directory,
    signal,
  });
  parts.reach("diff-written", about.address);
  parts.store.blobs.adopt(target, summary.diffId);
  parts.reach("blob-adopted", about.address);
  parts.store.diffs.adopt(upper, summary.diffId);
  parts.reach("diff-adopted", about.address);
  return saved(work, { ...summary }, about);
}

function saved(
  { parts }: StepWork,
  result: { readonly diffId: DiffId; readonly sizeBytes: number; readonly entries: number },
  { key, address, facts, startedMs }: About,
): StepRecord {
  const record: StepRecord = {
    key,
    address,
    ...result,
    inputs: facts.inputs,
    bakedAt: parts.clock.now().toISOString(),
    durationMs: Math.round(parts.clock.elapsedMs() - startedMs),
    tool: parts.tool,
  };
  parts.store.steps.save(record);
  parts.reach("record-saved", address);
  return record;
}

function environmentOf(work: StepWork, epochSeconds: number): StepEnvironment {
  const { input, signal, log } = work;
  return {
    recipe: input.recipe,
    lock: input.lock,
    epochSeconds,
    signal,
    log,
    tell: (body) => work.tell(body),
    openNetwork: (bound, workspace) => replayNetwork(work, bound, workspace),
  };
}

async function refuseSecrets({ parts, input }: StepWork, steps: readonly BoundStep[], directory: string): Promise<void> {
  const names = [...new Set(steps.flatMap((bound) => bound.step.secrets))];
  if (names.length === 0) return;
  const found = await parts.findSecrets(directory, parts.secrets(input.recipe).resolve(names));
  if (found.length === 0) return;
  throw new BakehouseError(
    "SECRET_LEAKED",
    `${steps[0]?.step.address ?? ""}: the image would hold ${found.map((leak) => `secret "${leak.secret}" (${leak.form}) in ${leak.path}`).join(", ")}`,
    {
      hint: "read it from /run/secrets/<name> where it is needed and leave no copy behind",
      details: found.map((leak) => ({ ...leak })),
    },
  );
}

/** An input that was edited while it was read: the result belongs to neither state. */
function refuseMovedInputs({ parts, input }: StepWork, steps: readonly FactualStep[], epochSeconds: number): void {
  for (const { bound, facts } of steps) {
    const now = stepFacts(bound, input.recipe, input.lock, epochSeconds, parts.hasher);
    if (now.inputs["files"] === facts.inputs["files"]) continue;
    const moved = Object.keys({ ...facts.files, ...now.files }).filter((path) => facts.files[path] !== now.files[path]);
    throw new BakehouseError("INPUT_INVALID", `${bound.step.address}: changed while it was being baked: ${moved.slice(0, 5).join(", ")}`, {
      hint: "bake again when nobody writes there",
    });
  }
}

function refuseOutside({ parts }: StepWork, upper: string, path: string, address: string): void {
  const outside = parts.pathsOutside(upper, path, 10);
  if (outside.length === 0) return;
  throw new BakehouseError(
    "STEP_FAILED",
    `${address}: a release volume holds ${path} and nothing else, but its steps also changed ${outside.join(", ")}`,
    {
      hint: "move those steps to the layer below, or use `release: layer`",
      details: outside,
    },
  );
}

/** Serves a step what its recording in the lock holds, and nothing else. */
async function replayNetwork({ parts, input, signal, log }: StepWork, bound: BoundStep, workspace: Workspace): Promise<ReplaySession> {
  const { address } = bound.step;
  const recorded = input.lock?.steps[address]?.recorded;
  if (recorded === undefined)
    throw new BakehouseError("LOCK_STALE", `${address}: its network is \`recorded\`, but the lock holds no recording of it`, {
      hint: `bakehouse lock --update --package ${address}`,
    });
  return parts.network.replay(
    {
      address,
      namespacePid: workspace.holderPid,
      mirrors: await parts.mirrors(input.recipe),
      signal,
      log: (line) => log.write(address, line),
    },
    recorded,
  );
}

/** Looks at something while other processes work, and waits for them whatever it finds. */
async function settled(work: Promise<void>, look: () => void): Promise<void> {
  const [worked, looked] = await Promise.allSettled([work, new Promise<void>((resolve) => resolve(look()))]);
  for (const result of [worked, looked]) if (result.status === "rejected") throw result.reason;
}
