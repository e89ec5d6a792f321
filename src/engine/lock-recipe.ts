import { isSha256, type Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import type { EventBody } from "../core/events.ts";
import { canonicalJson } from "../core/json.ts";
import { diffLocks, type LockChanges } from "../core/lock/lock-diff.ts";
import { sealLock } from "../core/lock/lock-file.ts";
import type { Lock, LockedPackage, LockedStep, RecordedResponse } from "../core/lock/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { PackageRequest } from "../core/step.ts";
import { didYouMean } from "../core/text/did-you-mean.ts";
import type { OciSource } from "../ports/oci-source.ts";
import type { PackageDownloader } from "../ports/package-downloader.ts";
import type { PackageResolver, PackageSources, Resolution } from "../ports/package-resolver.ts";
import type { PackageStore } from "../ports/package-store.ts";
import type { BoundStep } from "./bound-recipe.ts";
import { fetchPackages } from "./fetch-packages.ts";
import { limiter } from "./limiter.ts";
import { asksForPackages, foreignReference, lockRequests, stepsBelow, type LockHasher, type LockRequest } from "./lock-requests.ts";

/** dpkg's state below the lowest step of a layer that does not start from Debian packages. */
export interface BaseSystem {
  /** Content of `/var/lib/dpkg/status`. */
  readonly status: string;
  /** Where more packages for it come from, if it is a Debian release. Without it only the recipe's own repositories are left. */
  readonly foundation?: NonNullable<PackageSources["foundation"]>;
}

export interface LockOptions {
  readonly recipe: Recipe;
  readonly steps: readonly BoundStep[];
  readonly previous?: Lock;
  /** `true` moves everything to what the repositories have now; names move only these packages. */
  readonly update: boolean | readonly string[];
  readonly resolver: PackageResolver;
  readonly packageStore: PackageStore;
  readonly downloader: PackageDownloader;
  readonly hasher: LockHasher;
  /** For steps that name an image. */
  readonly ociSource?: Pick<OciSource, "resolve">;
  /** Image of the store behind a layer's `from: {image}`. */
  readonly resolveImage?: (reference: string) => Sha256 | Promise<Sha256>;
  /** What a `rootfs`, `oci` or image parent brings; asked only if a step above needs packages. */
  readonly baseSystem?: (lowest: BoundStep, image: Sha256 | undefined) => Promise<BaseSystem | undefined>;
  /** Bakes what is below a `network: recorded` step and lets it run once, recorded. `lock` holds all packages. */
  readonly recorder?: {
    record(bound: BoundStep, lock: Lock, options: { readonly signal: AbortSignal }): Promise<readonly RecordedResponse[]>;
  };
  /** Take release files past their date; default as the resolver was set up. */
  readonly allowExpired?: boolean;
  readonly signal: AbortSignal;
  readonly report?: (event: EventBody) => void;
}

export interface LockResult {
  readonly lock: Lock;
  /** Against `previous`. */
  readonly changes: LockChanges;
  readonly warnings: readonly string[];
  /** Addresses that were resolved; the others stand as they were. */
  readonly resolved: readonly string[];
  /** By layer with a foundation that was resolved: the date of its suite's release file, seconds since 1970. */
  readonly releases: Readonly<Record<string, number>>;
  /** Suites whose mirror offered a release file older than one that was seen before. */
  readonly wentBack: readonly string[];
}

/** apt runs at the same time, at most; it is CPU time that they take. */
const RESOLVED_AT_ONCE = 2;

/**
 * Resolves what a recipe asks for, exactly, and brings its bytes into the package store.
 *
 * Steps whose request is unchanged stay as the previous lock has them and cost nothing; others keep the versions of before
 * where that is possible. Lists are refreshed only when they are missing, expired, or lack something.
 *
 * @throws BakehouseError all that a resolver and downloader throw; mistakes of several steps at once
 */
export async function lockRecipe(options: LockOptions): Promise<LockResult> {
  const moving = movingNames(options);
  try {
    return await new LockRun(options, moving, false).run();
  } catch (error) {
    // The lists on disk named something that mirrors have replaced since.
    if (!(error instanceof OutdatedLists)) throw error;
    return await new LockRun(options, moving, true).run();
  }
}

class OutdatedLists extends Error {}

/** Which packages may leave their locked version; a name can be the address of a step, which is then locked anew. */
type Moving =
  { readonly kind: "nothing" } | { readonly kind: "everything" } | { readonly kind: "names"; readonly names: ReadonlySet<string> };

function movingNames({ update, previous }: LockOptions): Moving {
  if (update === true) return { kind: "everything" };
  if (update === false || update.length === 0) return { kind: "nothing" };
  const lockedSteps = previous?.steps ?? {};
  const locked = new Set([
    ...Object.values(lockedSteps).flatMap((step) => [...(step.packages ?? []), ...(step.lent ?? [])].map(({ name }) => name)),
    ...Object.keys(lockedSteps),
  ]);
  const unknown = update.filter((name) => !locked.has(name));
  if (unknown.length === 0) return { kind: "names", names: new Set(update) };
  const lines = unknown.map((name) => {
    const guess = didYouMean(name, locked);
    return `${name} is not locked${guess === undefined ? "" : `: did you mean ${guess}?`}`;
  });
  throw new BakehouseError("PACKAGE_NOT_FOUND", lines.join("\n"), {
    hint: "bakehouse lock --update, without names, to move everything",
    details: { packages: unknown },
  });
}

/** One pass over all steps. */
class LockRun {
  readonly #options: LockOptions;
  readonly #moving: Moving;
  readonly #refresh: boolean;
  readonly #requests: ReadonlyMap<string, LockRequest>;
  readonly #steps = new Map<string, Promise<LockedStep>>();
  readonly #resolutions = new Map<string, Resolution>();
  readonly #parents = new Map<string, Promise<Sha256>>();
  readonly #bases = new Map<string, Promise<BaseSystem | undefined>>();
  readonly #limit = limiter(RESOLVED_AT_ONCE);
  readonly #warnings = new Set<string>();
  readonly #report: (event: EventBody) => void;

  constructor(options: LockOptions, moving: Moving, refresh: boolean) {
    this.#options = options;
    this.#moving = moving;
    this.#refresh = refresh;
    this.#requests = lockRequests(options.recipe, options.steps, options.hasher);
    this.#report = options.report ?? (() => undefined);
  }

  async run(): Promise<LockResult> {
    const { previous } = this.#options;
    const parents = await this.#foreignParents();
    await this.#fetchUnchanged();
    const steps = await this.#allSteps();
    await this.#fetch(Object.entries(steps));
    const lock = await this.#record(this.#seal(steps, parents));
    const resolutions = [...this.#resolutions.values()];
    return {
      lock,
      changes: diffLocks(previous, lock),
      warnings: [...this.#warnings],
      resolved: [...this.#resolutions.keys()],
      releases: this.#releases(),
      wentBack: [...new Set(resolutions.flatMap(({ wentBack }) => wentBack))],
    };
  }

  #releases(): LockResult["releases"] {
    const dates = [...this.#requests.values()].flatMap(({ bound }) => {
      const date = bound.requirements.packages?.foundation && this.#resolutions.get(bound.step.address)?.releaseDateSeconds;
      return date === undefined ? [] : [[bound.layer.name, date] as const];
    });
    return Object.fromEntries(dates);
  }

  #seal(steps: Readonly<Record<string, LockedStep>>, parents: Pick<Lock, "parents" | "parentReferences">): Lock {
    return sealLock({ architecture: "amd64", epochs: this.#epochs(steps), ...parents, steps }, (text) =>
      this.#options.hasher.digestOf(text),
    );
  }

  /** Every step in turn of need; mistakes of all of them together. */
  async #allSteps(): Promise<Readonly<Record<string, LockedStep>>> {
    const addresses = [...this.#requests.keys()];
    const outcomes = await Promise.allSettled(addresses.map((address) => this.#step(address)));
    const failures = outcomes.flatMap((outcome, index) =>
      outcome.status === "rejected" && !(outcome.reason instanceof LowerStepFailed)
        ? [{ address: addresses[index] ?? "", error: outcome.reason as unknown }]
        : [],
    );
    if (failures.length > 0) throw combined(failures);
    return Object.fromEntries(
      outcomes.flatMap((outcome, index) => (outcome.status === "fulfilled" ? [[addresses[index] ?? "", outcome.value]] : [])),
    );
  }

  #step(address: string): Promise<LockedStep> {
    const known = this.#steps.get(address);
    if (known !== undefined) return known;
    const made = this.#lockStep(address);
    this.#steps.set(address, made);
    return made;
  }

  async #lockStep(address: string): Promise<LockedStep> {
    const request = this.#requests.get(address);
    if (request === undefined) throw new Error(`No request for ${address}`);
    const below = await Promise.all(
      request.below.map(({ step }) => this.#step(step.address).catch(() => Promise.reject(new LowerStepFailed(step.address)))),
    );
    const previous = this.#options.previous?.steps[address];
    if (previous !== undefined && this.#stays(request, previous, below)) return previous;
    const { requirements, step } = request.bound;
    const installed = below.flatMap((lower) => lower.packages ?? []);
    const packages = asksForPackages(requirements.packages) ? await this.#resolve(request, requirements.packages, installed) : undefined;
    const lent = asksForPackages(requirements.lent)
      ? await this.#resolve(request, requirements.lent, [...installed, ...(packages ?? [])])
      : undefined;
    const image = requirements.image === undefined ? undefined : await this.#image(requirements.image, previous);
    return {
      request: request.digest,
      ...(packages === undefined ? {} : { packages }),
      ...(lent === undefined ? {} : { lent }),
      ...(image === undefined ? {} : { image }),
      // Filled in once everything below can be baked.
      ...(step.network === "recorded" && previous?.recorded !== undefined && previous.request === request.digest && !this.#moves(address)
        ? { recorded: previous.recorded }
        : {}),
    };
  }

  /** Whether all that a step has is asked to move. */
  #moves(address: string): boolean {
    return this.#moving.kind === "everything" || (this.#moving.kind === "names" && this.#moving.names.has(address));
  }

  /** Whether the previous lock's entry is taken as it is. */
  #stays({ bound, digest, below }: LockRequest, previous: LockedStep, lower: readonly LockedStep[]): boolean {
    if (previous.request !== digest || this.#moves(bound.step.address)) return false;
    const { requirements } = bound;
    const before = below.map(({ step }) => this.#options.previous?.steps[step.address]?.packages ?? []);
    const movedBelow = canonicalJson(before) !== canonicalJson(lower.map(({ packages }) => packages ?? []));
    if (movedBelow && (asksForPackages(requirements.packages) || asksForPackages(requirements.lent))) return false;
    const names = this.#moving.kind === "names" ? this.#moving.names : new Set<string>();
    return ![...(previous.packages ?? []), ...(previous.lent ?? [])].some(({ name }) => names.has(name));
  }

  async #resolve(request: LockRequest, wanted: PackageRequest, installed: readonly LockedPackage[]): Promise<readonly LockedPackage[]> {
    const { address } = request.bound.step;
    const { resolver, signal, allowExpired } = this.#options;
    const base = await this.#baseSystem(request.bound);
    const sources = this.#sources(request.bound, base);
    this.#report({ type: "step-progress", step: address, message: "resolving packages" });
    const resolution = await this.#limit(() =>
      resolver.resolve({
        sources,
        request: { ...wanted, names: [...new Set(wanted.names)].sort() },
        installed,
        ...(base === undefined ? {} : { baseStatus: base.status }),
        keep: this.#keep(address),
        refresh: this.#refresh || this.#moving.kind !== "nothing",
        ...(allowExpired === undefined ? {} : { allowExpired }),
        signal,
      }),
    );
    for (const warning of resolution.warnings) this.#warn(warning);
    if (!this.#resolutions.has(address)) this.#resolutions.set(address, resolution);
    return resolution.packages;
  }

  /** Versions of the previous lock: the step's own count first, then whatever other steps have. */
  #keep(address: string): readonly LockedPackage[] {
    if (this.#moving.kind === "everything") return [];
    const steps = this.#options.previous?.steps ?? {};
    const own = this.#moves(address) ? undefined : steps[address];
    const others = Object.entries(steps).filter(([other]) => other !== address);
    const all = [
      ...others.flatMap(([, step]) => [...(step.lent ?? []), ...(step.packages ?? [])]),
      ...(own?.lent ?? []),
      ...(own?.packages ?? []),
    ];
    const names = this.#moving.kind === "names" ? this.#moving.names : new Set<string>();
    return [...new Map(all.map((item) => [item.name, item])).values()].filter(({ name }) => !names.has(name));
  }

  #warn(message: string): void {
    if (this.#warnings.has(message)) return;
    this.#warnings.add(message);
    this.#report({ type: "warning", message });
  }

  /** The suite of the Debian foundation below a step, else of the system that it stands on. */
  #sources(bound: BoundStep, base: BaseSystem | undefined): PackageSources {
    const { recipe, steps } = this.#options;
    const lowest = [...stepsBelow(recipe, bound, steps), bound];
    const debian = lowest.map(({ requirements }) => requirements.packages?.foundation).find((foundation) => foundation !== undefined);
    const foundation = debian ?? base?.foundation;
    return { ...(foundation === undefined ? {} : { foundation }), repositories: recipe.repositories, folder: recipe.folder };
  }

  async #baseSystem(bound: BoundStep): Promise<BaseSystem | undefined> {
    const { recipe, steps, baseSystem } = this.#options;
    const lowest = [...stepsBelow(recipe, bound, steps), bound][0] ?? bound;
    if (lowest.requirements.packages?.foundation !== undefined || baseSystem === undefined) return undefined;
    const parent = foreignReference(recipe, bound);
    if (lowest.definition.role !== "foundation" && parent === undefined) return undefined;
    const key = lowest.step.address;
    const known =
      this.#bases.get(key) ?? (async () => baseSystem(lowest, parent === undefined ? undefined : await this.#parents.get(parent.layer)))();
    this.#bases.set(key, known);
    return known;
  }

  async #image(reference: string, previous: LockedStep | undefined): Promise<NonNullable<LockedStep["image"]>> {
    if (previous?.image?.reference === reference && this.#moving.kind !== "everything") return previous.image;
    const { ociSource, recipe } = this.#options;
    if (ociSource === undefined) throw new Error(`Nothing here can look up the image ${reference}`);
    return { reference, digest: await ociSource.resolve(reference, recipe.folder) };
  }

  async #foreignParents(): Promise<Pick<Lock, "parents" | "parentReferences">> {
    const { recipe, previous, resolveImage } = this.#options;
    const references: Record<string, string> = {};
    for (const { name, from } of recipe.layers) {
      if (from === undefined || !("image" in from)) continue;
      references[name] = from.image;
      const before =
        previous?.parentReferences?.[name] === from.image && this.#moving.kind !== "everything" ? previous.parents[name] : undefined;
      this.#parents.set(
        name,
        Promise.resolve(
          before ??
            (isSha256(from.image) ? from.image : resolveImage?.(from.image)) ??
            Promise.reject(new Error(`Nothing here can look up the image ${from.image}`)),
        ),
      );
    }
    const parents = await Promise.all([...this.#parents].map(async ([name, digest]) => [name, await digest] as const));
    return { parents: Object.fromEntries(parents), parentReferences: references };
  }

  /** A date stays as long as the packages that it was taken with. */
  #epochs(steps: Readonly<Record<string, LockedStep>>): Readonly<Record<string, number>> {
    const { previous } = this.#options;
    const epochs: Record<string, number> = {};
    for (const { bound } of this.#requests.values()) {
      if (bound.requirements.packages?.foundation === undefined) continue;
      const { address } = bound.step;
      const isSame = canonicalJson(previous?.steps[address]?.packages ?? []) === canonicalJson(steps[address]?.packages ?? []);
      const before = isSame ? previous?.epochs[bound.layer.name] : undefined;
      const epoch = before ?? this.#resolutions.get(address)?.releaseDateSeconds;
      if (epoch !== undefined) epochs[bound.layer.name] = epoch;
    }
    return epochs;
  }

  /** What stays may be all that is known of the layers below: without it nothing above can be resolved. */
  async #fetchUnchanged(): Promise<void> {
    if (this.#moving.kind !== "nothing") return;
    const { previous } = this.#options;
    const unchanged = [...this.#requests].flatMap(([address, { digest }]) => {
      const step = previous?.steps[address];
      return step !== undefined && step.request === digest ? [[address, step] as const] : [];
    });
    await this.#fetch(unchanged);
  }

  async #fetch(steps: readonly (readonly [string, LockedStep])[]): Promise<void> {
    const { resolver, packageStore, downloader, signal } = this.#options;
    const groups = await Promise.all(
      steps.map(async ([address, step]) => {
        const bound = this.#requests.get(address)?.bound;
        if (bound === undefined) throw new Error(`No request for ${address}`);
        const packages = [...(step.packages ?? []), ...(step.lent ?? [])];
        const isThere = packages.every(({ sha256 }) => packageStore.find(sha256) !== undefined);
        return { sources: this.#sources(bound, isThere ? undefined : await this.#baseSystem(bound)), packages };
      }),
    );
    try {
      await fetchPackages({ groups, resolver, packageStore, downloader, signal, report: this.#report });
    } catch (error) {
      const isOld = [...this.#resolutions.values()].some(({ isFresh }) => !isFresh);
      const mayBeReplaced =
        error instanceof BakehouseError && (error.code === "DIGEST_MISMATCH" || (error.code === "MIRROR_UNAVAILABLE" && hasMissing(error)));
      throw mayBeReplaced && isOld && !this.#refresh
        ? new OutdatedLists("the lists on disk name packages that the mirrors replaced", { cause: error })
        : error;
    }
  }

  /** Lets `recorded` steps run once, the lowest first: what one of them leaves, those above stand on. */
  async #record(lock: Lock): Promise<Lock> {
    const { recorder, signal } = this.#options;
    let current = lock;
    for (const [address, { bound }] of this.#requests) {
      const step = current.steps[address];
      if (bound.step.network !== "recorded" || step === undefined || step.recorded !== undefined) continue;
      if (recorder === undefined) throw new Error(`Nothing here can record the network of ${address}`);
      this.#report({ type: "step-progress", step: address, message: "recording what it fetches" });
      const recorded = await recorder.record(bound, current, { signal });
      current = this.#seal({ ...current.steps, [address]: { ...step, recorded } }, current);
    }
    return current;
  }
}

/** Says nothing of its own: the failure below is what people need to hear of. */
class LowerStepFailed extends Error {}

const hasMissing = (error: BakehouseError): boolean => {
  const { details } = error.help;
  return (
    typeof details === "object" && details !== null && "missing" in details && Array.isArray(details.missing) && details.missing.length > 0
  );
};

/** Failures of one kind become one error; of several kinds, the first is thrown. */
function combined(failures: readonly { readonly address: string; readonly error: unknown }[]): unknown {
  const [first] = failures;
  if (first === undefined || !(first.error instanceof BakehouseError)) return first?.error;
  const { code, help } = first.error;
  const alike = failures.flatMap(({ address, error }) =>
    error instanceof BakehouseError && error.code === code ? [{ address, error }] : [],
  );
  const messages = new Map(alike.map(({ address, error }) => [error.message, address]));
  if (code !== "PACKAGE_NOT_FOUND" && code !== "PACKAGES_UNSATISFIABLE" && messages.size < 2) return first.error;
  const message = [...messages].map(([text, address]) => `${address}: ${text.replaceAll("\n", `\n${address}: `)}`).join("\n");
  return new BakehouseError(
    code,
    message,
    {
      ...help,
      details: alike.map(({ address, error }) => ({ address, ...(error.help.details === undefined ? {} : { about: error.help.details }) })),
    },
    first.error,
  );
}
