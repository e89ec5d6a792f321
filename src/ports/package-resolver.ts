import type { LockedPackage } from "../core/lock/model.ts";
import type { AptRepository } from "../core/recipe/model.ts";
import type { PackageRequest } from "../core/step.ts";

/** What the layers below a step have, and where more may come from. */
export interface PackageSources {
  /** The suite of the foundation below; absent when that is a root file system or image of another maker. */
  readonly foundation?: NonNullable<PackageRequest["foundation"]>;
  /** The recipe's own. A foundation is resolved without them. */
  readonly repositories: readonly AptRepository[];
  /** The recipe's folder, absolute: for `file:` URLs, key files and local `.deb` files. */
  readonly folder: string;
}

export interface ResolveRequest {
  readonly sources: PackageSources;
  readonly request: PackageRequest;
  /** Packages of the steps below, lowest first; a later one replaces an earlier one of its name. */
  readonly installed: readonly LockedPackage[];
  /** dpkg's status file of what lies below all steps (a root file system, an image). Default: nothing is installed. */
  readonly baseStatus?: string;
  /** Versions to stay with where that is possible: those of the lock before. */
  readonly keep: readonly LockedPackage[];
  /** Ask the mirrors for newer lists first; otherwise only if they are missing, expired, or lack a name. At most once a run. */
  readonly refresh: boolean;
  /** Take a release file past its Valid-Until, with a warning. */
  readonly allowExpired?: boolean;
  readonly signal: AbortSignal;
}

export interface Resolution {
  /** What the step adds or replaces, sorted by name. */
  readonly packages: readonly LockedPackage[];
  /** Date of the suite's release file, seconds since 1970; absent without a foundation. */
  readonly releaseDateSeconds?: number;
  /** Whether the lists were compared with the mirror in this run. */
  readonly isFresh: boolean;
  /** Mirrors that offered a release file older than one that was seen before: the newer one was used. A line each, for people. */
  readonly wentBack: readonly string[];
  readonly warnings: readonly string[];
}

/** Decides which packages, exactly, a step needs. Works on the host, never inside an image. */
export interface PackageResolver {
  /**
   * @throws BakehouseError PACKAGE_NOT_FOUND (all names at once), PACKAGES_UNSATISFIABLE, SIGNATURE_INVALID, RELEASE_EXPIRED,
   *         MIRROR_UNAVAILABLE, DIGEST_MISMATCH, INPUT_INVALID (a key or `.deb` file), SETUP_INCOMPLETE, CANCELLED
   */
  resolve(request: ResolveRequest): Promise<Resolution>;
  /** Where the bytes of locked packages may be had, in their order, best first. Reads no lists, asks nobody. */
  locate(sources: PackageSources, packages: readonly LockedPackage[]): readonly (readonly string[])[];
}
