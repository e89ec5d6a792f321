import { isSha256 } from "../core/digest.ts";
import { parsePackageArgument } from "../core/debian/package-argument.ts";
import { BakehouseError } from "../core/errors.ts";
import type { Lock } from "../core/lock/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { BoundStep } from "./bound-recipe.ts";
import { lockRequests, type LockHasher, type LockRequest } from "./lock-requests.ts";

export interface LockProblem {
  /** Step address; a layer's name for its parent image. */
  readonly address: string;
  /** `unneeded`: the recipe no longer has it; does no harm to a bake. */
  readonly kind: "missing" | "stale" | "unneeded";
  /** Why, for people: `asks for jq, which is not locked`. */
  readonly reason: string;
}

export interface LockCheck {
  readonly recipe: Recipe;
  readonly steps: readonly BoundStep[];
  readonly lock: Lock | undefined;
  readonly hasher: LockHasher;
}

/** Compares a recipe with its lock. Reads the recipe's key files and `.deb` files (through the hasher's cache), nothing else. */
export function checkLock({ recipe, steps, lock, hasher }: LockCheck): readonly LockProblem[] {
  const requests = lockRequests(recipe, steps, hasher);
  const problems = new Map<string, LockProblem>();
  for (const [address, request] of requests) {
    const problem = stepProblem(address, request, lock, problems);
    if (problem !== undefined) problems.set(address, problem);
  }
  const unneeded = Object.keys(lock?.steps ?? {}).filter((address) => !requests.has(address));
  return [
    ...parentProblems(recipe, lock),
    ...problems.values(),
    ...unneeded.map((address) => ({ address, kind: "unneeded" as const, reason: "is locked, but the recipe does not need it" })),
  ];
}

/**
 * Refuses to bake with a lock that does not fit.
 *
 * @throws BakehouseError LOCK_MISSING, LOCK_STALE with every step that is concerned
 */
export function requireFreshLock(check: LockCheck & { readonly lockFile: string }): void {
  const problems = checkLock(check).filter(({ kind }) => kind !== "unneeded");
  if (problems.length === 0) return;
  const details = problems.map((problem) => ({ ...problem }));
  const list = problems.map(({ address, reason }) => `  ${address} ${reason}`).join("\n");
  if (check.lock === undefined)
    throw new BakehouseError("LOCK_MISSING", `${check.lockFile} is not there, and the recipe needs it:\n${list}`, {
      hint: "bakehouse lock (or: bakehouse bake --update-lock)",
      details,
    });
  throw new BakehouseError("LOCK_STALE", `${check.lockFile} no longer fits the recipe:\n${list}`, {
    hint: "bakehouse lock (or: bakehouse bake --update-lock)",
    details,
  });
}

function parentProblems(recipe: Recipe, lock: Lock | undefined): readonly LockProblem[] {
  return recipe.layers.flatMap(({ name, from }): readonly LockProblem[] => {
    if (from === undefined || !("image" in from) || isSha256(from.image)) return [];
    if (lock?.parents[name] === undefined)
      return [{ address: name, kind: "missing", reason: `stands on the image ${from.image}, which is not locked` }];
    const before = lock.parentReferences?.[name];
    return before === undefined || before === from.image
      ? []
      : [{ address: name, kind: "stale", reason: `stands on the image ${from.image}; ${before} is locked` }];
  });
}

function stepProblem(
  address: string,
  { bound, digest, below }: LockRequest,
  lock: Lock | undefined,
  problems: ReadonlyMap<string, LockProblem>,
): LockProblem | undefined {
  const locked = lock?.steps[address];
  if (locked === undefined) return { address, kind: "missing", reason: `${wantsOf(bound)} but is not in the lock` };
  if (locked.request === digest) return undefined;
  const lower = below.find(({ step }) => problems.has(step.address));
  if (lower !== undefined) return { address, kind: "stale", reason: `stands on ${lower.step.address}, which changed` };
  return { address, kind: "stale", reason: changeOf(bound, lock, below) };
}

function wantsOf({ step, requirements }: BoundStep): string {
  if (requirements.packages?.foundation !== undefined) return `needs the packages of Debian ${requirements.packages.foundation.suite}`;
  if (requirements.packages !== undefined) return "needs packages";
  if (requirements.lent !== undefined) return "needs tools";
  return requirements.image === undefined ? `is ${step.network}` : `needs the image ${requirements.image}`;
}

/** Only a digest of the old request is kept, so this looks for what explains the difference best. */
function changeOf({ step, requirements }: BoundStep, lock: Lock | undefined, below: readonly BoundStep[]): string {
  const locked = lock?.steps[step.address];
  if (locked?.image !== undefined && locked.image.reference !== requirements.image)
    return `asks for the image ${requirements.image ?? "(none)"}; ${locked.image.reference} is locked`;
  const held = [locked, ...below.map((lower) => lock?.steps[lower.step.address])].flatMap((entry) => [
    ...(entry?.packages ?? []),
    ...(entry?.lent ?? []),
  ]);
  const versions = new Map(held.map(({ name, version }) => [name, version]));
  const asked = [...(requirements.packages?.names ?? []), ...(requirements.lent?.names ?? [])].flatMap(
    (text) => parsePackageArgument(text) ?? [],
  );
  const absent = asked.filter(
    ({ name, version, excluded }) =>
      !excluded && (!versions.has(name) || (version !== undefined && !version.endsWith("*") && versions.get(name) !== version)),
  );
  if (absent.length > 0) return `asks for ${absent.map(({ text }) => text).join(", ")}, which is not locked`;
  if (step.network === "recorded") return "or a file that it reads changed since its network was recorded";
  return "asks for other packages, files, repositories or another suite than when it was locked";
}
