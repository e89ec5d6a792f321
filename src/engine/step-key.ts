import { ENGINE_VERSION, flattenOptions, type ChainId, type StepInputs } from "../core/cache/step-inputs.ts";
import type { Sha256 } from "../core/digest.ts";
import { BakehouseError, problemsError, problemsOf, type Problem } from "../core/errors.ts";
import { canonicalJson, type JsonValue } from "../core/json.ts";
import type { Lock, LockedPackage } from "../core/lock/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { FileRequest } from "../core/step.ts";
import type { InputHasher } from "../ports/host.ts";
import type { BoundStep } from "./bound-recipe.ts";

/** What a step's result depends on, but for its parent. `files` says what the digest in `inputs.files` is made of. */
export interface StepFacts {
  readonly inputs: StepInputs;
  /** Path → short value, to name the file that changed. */
  readonly files: Readonly<Record<string, string>>;
}

/** What the inputs of a step are made with. */
export type KeyHasher = Pick<InputHasher, "hash" | "toolVersion">;

export function stepFacts(bound: BoundStep, recipe: Recipe, lock: Lock | undefined, epochSeconds: number, hasher: KeyHasher): StepFacts {
  const { step, definition, requirements } = bound;
  const locked = lock?.steps[step.address];
  const requests = fileRequests(bound);
  const hashed = requests.length === 0 ? undefined : hasher.hash(recipe.folder, requests);
  const inputs: Record<string, string> = {
    engine: String(ENGINE_VERSION),
    step: `${definition.id}@${definition.version}`,
    architecture: lock?.architecture ?? "amd64",
    epoch: String(epochSeconds),
    network: step.network,
    ...(definition.role === "foundation" ? { builder: recipe.foundation.builder } : {}),
    ...flattenOptions(keyedOptions(step.options, definition.notInKey ?? [])),
    ...(hashed === undefined ? {} : { files: hashed.digest }),
    ...packageInputs("package", locked?.packages),
    ...packageInputs("lent", locked?.lent),
    ...(locked?.image === undefined ? {} : { image: locked.image.digest }),
  };
  const named = requirements.parameters ?? [];
  for (const { name, value } of recipe.parameters) if (named === "all" || named.includes(name)) inputs[`parameter.${name}`] = String(value);
  for (const download of requirements.downloads ?? []) inputs[`download.${download.url}`] = download.sha256;
  for (const { method, url, status, headers, sha256 } of locked?.recorded ?? [])
    inputs[`recorded.${method} ${url}`] = `${sha256} ${status} ${canonicalJson(headers)}`;
  if (definition.needs.includes("ansible")) inputs["tool.ansible"] = hasher.toolVersion("ansible") ?? "(absent)";
  for (const secret of step.secrets) inputs[`secret.${secret}`] = "given";
  return { inputs, files: Object.fromEntries((hashed?.entries ?? []).map((entry) => [entry.path, fileValue(entry)])) };
}

/** Every file of the recipe's folder that a step reads. */
const fileRequests = ({ requirements }: BoundStep): readonly FileRequest[] => [
  ...(requirements.files ?? []),
  ...(requirements.packages?.files ?? []).map((path) => ({ path })),
];

/**
 * Looks at the files of all steps, so that everything that is wrong with them is told at once and by its place in the recipe.
 *
 * @throws INPUT_INVALID
 */
export function requireInputs(recipe: Recipe, steps: readonly BoundStep[], hasher: Pick<InputHasher, "hash">): void {
  const problems = steps.flatMap((bound) => {
    const requests = fileRequests(bound);
    return requests.length === 0 ? [] : inputProblems(recipe, requests, hasher).map((problem) => placed(recipe, bound, problem));
  });
  if (problems.length > 0) throw problemsError("INPUT_INVALID", problems);
}

function inputProblems(recipe: Recipe, requests: readonly FileRequest[], hasher: Pick<InputHasher, "hash">): readonly Problem[] {
  try {
    hasher.hash(recipe.folder, requests);
    return [];
  } catch (error) {
    if (error instanceof BakehouseError && error.code === "INPUT_INVALID") return problemsOf(error);
    throw error;
  }
}

/** What has a line already is wrong in the file itself. */
const placed = (recipe: Recipe, { step }: BoundStep, problem: Problem): Problem =>
  problem.line === undefined
    ? { ...problem, file: recipe.file, ...step.position, message: `${step.address}: ${problem.file}: ${problem.message}` }
    : problem;

/** What was looked at outside of recipe and lock. */
export interface LookedAt {
  readonly inputs: readonly { readonly requests: readonly FileRequest[]; readonly digest: Sha256 }[];
  /** Version of the host's Ansible, if anything depends on it; null: it is not there. */
  readonly ansible?: string | null;
}

/** Trees of a recipe's folder as they were found, by folder and requests. */
export type LookedInputs = ReadonlyMap<
  string,
  { readonly requests: readonly FileRequest[]; readonly hashed: ReturnType<InputHasher["hash"]> }
>;

/**
 * Looks at each tree of the recipe's folder once: for one plan or bake, during which an edit counts as too late.
 *
 * @param before  what the same command looked at already
 */
export function hashOnce(
  hasher: KeyHasher,
  before: LookedInputs = new Map(),
): KeyHasher & { lookedAt(): LookedAt; readonly looked: LookedInputs } {
  const known = new Map(before);
  const asked = new Map<string, LookedAt["inputs"][number]>();
  let ansible: string | null | undefined;
  return {
    looked: known,
    toolVersion: (name) => {
      const version = hasher.toolVersion(name);
      ansible = version ?? null;
      return version;
    },
    hash: (folder, requests) => {
      const name = JSON.stringify([folder, requests]);
      const found = known.get(name) ?? { requests, hashed: hasher.hash(folder, requests) };
      known.set(name, found);
      asked.set(name, { requests, digest: found.hashed.digest });
      return found.hashed;
    },
    lookedAt: () => ({ inputs: [...asked.values()], ...(ansible === undefined ? {} : { ansible }) }),
  };
}

const keyedOptions = (options: JsonValue, left: readonly string[]): JsonValue =>
  options === null || typeof options !== "object" || Array.isArray(options)
    ? options
    : Object.fromEntries(Object.entries(options).filter(([name]) => !left.includes(name)));

const packageInputs = (kind: string, packages: readonly LockedPackage[] = []): StepInputs =>
  Object.fromEntries(packages.map((entry) => [`${kind}.${entry.name}`, `${entry.version} ${entry.architecture} ${entry.sha256}`]));

const fileValue = (entry: {
  readonly kind: string;
  readonly sha256?: Sha256;
  readonly target?: string;
  readonly executable?: boolean;
}): string => {
  if (entry.kind === "file") return `${entry.sha256 ?? ""}${entry.executable ? " executable" : ""}`;
  return entry.kind === "symlink" ? `→ ${entry.target ?? ""}` : "directory";
};

/** The cache key: equal inputs on an equal parent, equal key. */
export const stepKey = (inputs: StepInputs, parent: ChainId, hasher: InputHasher): Sha256 =>
  hasher.digestOf(canonicalJson({ ...inputs, parent }));

/** The name of a file system made of these diffs, extended by one. */
export const chainAfter = (chain: ChainId, diff: Sha256, hasher: InputHasher): ChainId => hasher.digestOf(`${chain}\n${diff}\n`);
