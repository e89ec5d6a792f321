import type { Sha256 } from "../digest.ts";

/** One Debian package, exactly. `path` is below a repository's root and never names a host. */
export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: Sha256;
  readonly sizeBytes: number;
  /** `pool/main/c/curl/curl_7.88.1-10_amd64.deb` */
  readonly path: string;
  /** Which repository: `debian`, `debian-security`, or a name under `repositories:`; `local` for a `.deb` file. */
  readonly repository: string;
}

/** One answer that a `network: recorded` step received: `method` and `url` (path and query, and host name of the request). */
export interface RecordedResponse {
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly sha256: Sha256;
  readonly sizeBytes: number;
}

export interface LockedStep {
  /** Digest of everything that the resolution depended on; another one means that the lock is stale. */
  readonly request: Sha256;
  readonly packages?: readonly LockedPackage[];
  /** Packages lent to the step and not left in the image (Python for Ansible). */
  readonly lent?: readonly LockedPackage[];
  readonly recorded?: readonly RecordedResponse[];
  /** What an OCI reference resolved to. */
  readonly image?: { readonly reference: string; readonly digest: Sha256 };
}

/**
 * `bakehouse.lock`: JSON, one package a line, sorted. `integrity` is the SHA-256 of the canonical JSON of all the rest,
 * so that an edit by hand is seen.
 */
export interface Lock {
  readonly lockVersion: 1;
  readonly integrity: Sha256;
  readonly architecture: "amd64";
  /** Per layer that has a foundation step: SOURCE_DATE_EPOCH in seconds, from the suite's Release date when its packages were locked. */
  readonly epochs: Readonly<Record<string, number>>;
  /** Parents outside the recipe: layer name → image digest. */
  readonly parents: Readonly<Record<string, Sha256>>;
  /** What the recipe wrote for each of `parents`; another reference means that the digest is stale. */
  readonly parentReferences?: Readonly<Record<string, string>>;
  /** By step address. */
  readonly steps: Readonly<Record<string, LockedStep>>;
}
