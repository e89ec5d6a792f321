import { BakehouseError } from "../core/errors.ts";
import type { EventBody } from "../core/events.ts";
import type { Lock } from "../core/lock/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { StepContext, StepServices } from "../core/step.ts";
import type { BakeLog } from "../ports/host.ts";
import type { NetworkSession } from "../ports/network-recorder.ts";
import type { Sandbox, SandboxCommand } from "../ports/sandbox.ts";
import type { Workspace } from "../ports/workspaces.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";

export interface StepEnvironment {
  readonly recipe: Recipe;
  readonly lock: Lock | undefined;
  readonly epochSeconds: number;
  readonly signal: AbortSignal;
  readonly log: BakeLog;
  tell(body: EventBody): void;
  /** Other services than those of a bake, for a look at what a step would do. */
  adapt?(services: StepServices): StepServices;
  /** For a step whose network is `recorded`: replays, or records during `lock`. */
  openNetwork(bound: BoundStep, workspace: Workspace): Promise<NetworkSession & { close(): Promise<unknown> }>;
}

/** Runs one step in an open workspace, then undoes what it asked to undo, newest first, whatever happened. */
export async function runStep(parts: EngineParts, bound: BoundStep, workspace: Workspace, environment: StepEnvironment): Promise<void> {
  const { step } = bound;
  const undo: (() => void | Promise<void>)[] = [];
  const problems: unknown[] = [];
  const secrets = parts.secrets(environment.recipe).resolve(step.secrets);
  const mask = await parts.maskSecrets(secrets);
  const network = step.network === "recorded" ? await environment.openNetwork(bound, workspace) : undefined;
  try {
    const context = await stepContext(parts, bound, workspace, environment, { secrets, mask, undo, network });
    await bound.definition.run(context);
  } catch (error) {
    problems.push(error);
  }
  for (const task of [...undo, async () => void (await network?.close())]) {
    try {
      await task();
    } catch (error) {
      problems.push(error);
    }
  }
  if (problems.length === 1) throw problems[0];
  if (problems.length > 1) throw together(problems);
}

/** The cause first; a refused network request explains it better than the exit code that followed. */
function together(problems: readonly unknown[]): unknown {
  const explaining = problems.find((problem) => problem instanceof BakehouseError && problem.code === "NETWORK_REFUSED");
  return (
    explaining ??
    new AggregateError(problems, problems.map((problem) => (problem instanceof Error ? problem.message : String(problem))).join("\n"))
  );
}

interface StepSecrets {
  readonly secrets: ReadonlyMap<string, string>;
  readonly mask: (line: string) => string;
  readonly undo: (() => void | Promise<void>)[];
  readonly network: NetworkSession | undefined;
}

async function stepContext(
  parts: EngineParts,
  bound: BoundStep,
  workspace: Workspace,
  environment: StepEnvironment,
  given: StepSecrets,
): Promise<StepContext<unknown, keyof StepServices>> {
  const { step, definition } = bound;
  const { recipe, epochSeconds, signal } = environment;
  const onLine = (line: string): void => {
    environment.log.write(step.address, line);
    environment.tell({ type: "step-output", step: step.address, line });
  };
  const sandbox = throughProxy(
    workspace.sandbox({
      epochSeconds,
      network: step.network,
      timeoutMs: step.timeoutMs,
      address: step.address,
      signal,
      lentFolder: (digest) => parts.lentFolder(digest),
      onLine,
      mask: given.mask,
    }),
    given.network,
  );
  const files = await parts.stepFiles(bound, recipe, environment.lock?.steps[step.address], workspace, signal);
  const requests = [...(bound.requirements.files ?? []), ...(bound.requirements.packages?.files ?? []).map((path) => ({ path }))];
  const services: StepServices = {
    ...files,
    root: workspace.root,
    sandbox,
    inputs: parts.hasher.inputs(recipe.folder, requests),
    installer: parts.installers[recipe.foundation.builder],
    secrets: { names: step.secrets, get: (name) => secretValue(given.secrets, name, step.address) },
  };
  return {
    ...grant(environment.adapt?.(services) ?? services, definition.needs),
    options: bound.options,
    address: step.address,
    recipeName: recipe.name,
    parameters: Object.fromEntries(recipe.parameters.map((parameter) => [parameter.name, parameter.value])),
    repositories: recipe.repositories,
    network: step.network,
    epochSeconds,
    architecture: environment.lock?.architecture ?? "amd64",
    builder: recipe.foundation.builder,
    signal,
    log: (line) => onLine(given.mask(line)),
    progress: (progress) =>
      environment.tell({ type: "step-progress", step: step.address, ...progress, message: given.mask(progress.message) }),
    onCleanup: (task) => void given.undo.unshift(task),
  };
}

function secretValue(secrets: ReadonlyMap<string, string>, name: string, address: string): string {
  const value = secrets.get(name);
  if (value === undefined)
    throw new BakehouseError("SECRET_MISSING", `${address}: secret "${name}" is not among the step's secrets`, {
      hint: `add \`secrets: [${name}]\` to the step`,
    });
  return value;
}

/** Every command of a step with a recorded network is told of the proxy and given what it needs to trust it. */
function throughProxy(sandbox: Sandbox, network: NetworkSession | undefined): Sandbox {
  if (network === undefined) return sandbox;
  const told = (command: SandboxCommand): SandboxCommand => ({
    ...command,
    environment: { ...network.environment, ...command.environment },
    memoryFiles: [...network.memoryFiles, ...(command.memoryFiles ?? [])],
  });
  return { run: (command) => sandbox.run(told(command)), check: (command) => sandbox.check(told(command)) };
}

/** Nothing but what the step asked for is reachable from its `run`. */
function grant(services: StepServices, needs: readonly (keyof StepServices)[]): StepServices {
  return Object.fromEntries(
    Object.entries(services).filter(([name]) => (needs as readonly string[]).includes(name)),
  ) as unknown as StepServices;
}
