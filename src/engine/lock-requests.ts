import type { Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { canonicalJson } from "../core/json.ts";
import type { AptRepository, Recipe } from "../core/recipe/model.ts";
import type { PackageRequest } from "../core/step.ts";
import type { InputHasher } from "../ports/host.ts";
import { layerChain, type BoundStep } from "./bound-recipe.ts";
import { requireInputs } from "./step-key.ts";

/** A step of which the lock holds something. */
export interface LockRequest {
  readonly bound: BoundStep;
  /** Digest of everything that its entry in the lock depends on. */
  readonly digest: Sha256;
  /** Steps below it that the lock holds something of, lowest first. */
  readonly below: readonly BoundStep[];
}

/** What a lock needs of an input hasher. */
export type LockHasher = Pick<InputHasher, "hash" | "digestOf">;

/** Raise it when equal requests should be resolved anew. */
const REQUEST_FORM = 1;

export const asksForPackages = (request: PackageRequest | undefined): request is PackageRequest =>
  request !== undefined && (request.names.length > 0 || request.foundation !== undefined || (request.files ?? []).length > 0);

/** Whether the lock holds anything of a step. */
const needsLock = ({ step, requirements }: BoundStep): boolean =>
  asksForPackages(requirements.packages) ||
  asksForPackages(requirements.lent) ||
  requirements.image !== undefined ||
  step.network === "recorded";

/**
 * Steps that have to be in the lock, by address, those below before those above.
 *
 * @throws INPUT_INVALID when a file that one of them reads is not there; then with what is wrong with the files of all steps
 */
export function lockRequests(recipe: Recipe, steps: readonly BoundStep[], hasher: LockHasher): ReadonlyMap<string, LockRequest> {
  try {
    return requestsOf(recipe, steps, hasher);
  } catch (error) {
    if (error instanceof BakehouseError && error.code === "INPUT_INVALID") requireInputs(recipe, steps, hasher);
    throw error;
  }
}

function requestsOf(recipe: Recipe, steps: readonly BoundStep[], hasher: LockHasher): ReadonlyMap<string, LockRequest> {
  const requests = new Map<string, LockRequest>();
  const repositories = repositoryInputs(recipe, hasher);
  for (const bound of steps.filter(needsLock)) {
    const below = stepsBelow(recipe, bound, steps).filter(needsLock);
    const digests = below.map((lower) => [lower.step.address, requests.get(lower.step.address)?.digest ?? ""]);
    const inputs = {
      form: REQUEST_FORM,
      ...stepInputs(recipe, bound, hasher),
      ...(isAlone(bound) ? {} : { below: [...foreignParent(recipe, bound), ...digests] }),
      ...(usesRepositories(bound) ? { repositories } : {}),
    };
    requests.set(bound.step.address, { bound, digest: hasher.digestOf(canonicalJson(inputs)), below });
  }
  return requests;
}

/** What an image reference stands for depends on nothing below. */
const isAlone = ({ step, requirements }: BoundStep): boolean =>
  !asksForPackages(requirements.packages) && !asksForPackages(requirements.lent) && step.network !== "recorded";

/** A foundation is Debian's alone, so adding a repository leaves it as it is. */
const usesRepositories = ({ definition, requirements }: BoundStep): boolean =>
  (asksForPackages(requirements.packages) && definition.role !== "foundation") || asksForPackages(requirements.lent);

function stepInputs(
  recipe: Recipe,
  { step, definition, options, requirements }: BoundStep,
  hasher: LockHasher,
): Readonly<Record<string, unknown>> {
  const recorded = {
    step: `${definition.id}@${definition.version}`,
    options,
    files: filesDigest(
      recipe,
      requirements.files?.map(({ path, excludes }) => ({ path, ...(excludes === undefined ? {} : { excludes }) })) ?? [],
      hasher,
    ),
  };
  return {
    ...(asksForPackages(requirements.packages) ? { packages: packageInputs(recipe, requirements.packages, hasher) } : {}),
    ...(asksForPackages(requirements.lent) ? { lent: packageInputs(recipe, requirements.lent, hasher) } : {}),
    ...(requirements.image === undefined ? {} : { image: requirements.image }),
    ...(step.network === "recorded" ? { recorded } : {}),
  };
}

/** Without the mirror: a lock is good for any. */
function packageInputs(recipe: Recipe, request: PackageRequest, hasher: LockHasher): unknown {
  const { mirror: _, ...foundation } = request.foundation ?? {};
  const files = (request.files ?? []).map((path) => ({ path }));
  return {
    names: [...new Set(request.names)].sort(),
    recommends: request.recommends,
    files: filesDigest(recipe, files, hasher),
    ...(request.foundation === undefined ? {} : { foundation }),
  };
}

const filesDigest = (recipe: Recipe, requests: readonly { readonly path: string }[], hasher: LockHasher): Sha256 | undefined =>
  requests.length === 0 ? undefined : hasher.hash(recipe.folder, requests).digest;

function repositoryInputs(recipe: Recipe, hasher: LockHasher): readonly unknown[] {
  const keyOf = ({ keyFile }: AptRepository): Sha256 | undefined =>
    keyFile === undefined ? undefined : filesDigest(recipe, [{ path: keyFile }], hasher);
  return recipe.repositories.map((repository) => ({ ...repository, keyFile: keyOf(repository) }));
}

/** Every step whose result a step stands on, lowest first. */
export function stepsBelow(recipe: Recipe, bound: BoundStep, steps: readonly BoundStep[]): readonly BoundStep[] {
  const layers = layerChain(recipe, bound.layer).map(({ name }) => name);
  const ordered = layers.flatMap((name) => steps.filter(({ layer }) => layer.name === name));
  return ordered.slice(0, ordered.indexOf(bound));
}

/** The image from outside of the recipe that the lowest layer stands on. */
export const foreignReference = (recipe: Recipe, bound: BoundStep): { readonly layer: string; readonly image: string } | undefined => {
  const lowest = layerChain(recipe, bound.layer)[0];
  return lowest?.from !== undefined && "image" in lowest.from ? { layer: lowest.name, image: lowest.from.image } : undefined;
};

function foreignParent(recipe: Recipe, bound: BoundStep): readonly (readonly string[])[] {
  const parent = foreignReference(recipe, bound);
  return parent === undefined ? [] : [["image", parent.image]];
}
