import type { LockedPackage } from "../core/lock/model.ts";
import type { Sha256 } from "../core/digest.ts";

export interface PackageFile extends LockedPackage {
  /** The verified .deb on the host. */
  readonly hostPath: string;
}

/** The locked packages of one step as files, in the lock's order. */
export interface PackageSet {
  readonly files: readonly PackageFile[];
  /** Host folder that holds exactly these files as `<name>_<version>_<arch>.deb`, for a mount; made on first use. */
  folder(): string;
}

/** Keeps the bytes of packages by digest, since mirrors forget old versions. */
export interface PackageStore {
  /** Host path if the bytes are there (their digest was verified when they came in). */
  find(sha256: Sha256): string | undefined;
  /** Verifies and takes in a file; the source is left alone. @throws DIGEST_MISMATCH */
  add(hostPath: string, expected: Sha256): Promise<string>;
}
