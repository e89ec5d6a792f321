import type { PackageFile, PackageSet } from "./package-store.ts";
import type { ImageRoot } from "./image-root.ts";
import type { Sandbox } from "./sandbox.ts";

interface InstallRequest {
  readonly root: ImageRoot;
  readonly sandbox: Sandbox;
  readonly epochSeconds: number;
  readonly signal: AbortSignal;
  log(line: string): void;
  progress(message: string, fraction?: number): void;
}

export interface FoundationRequest extends InstallRequest {
  readonly suite: string;
  readonly packages: readonly PackageFile[];
}

export interface AddPackagesRequest extends InstallRequest {
  readonly packages: PackageSet;
  /** debconf answers, as `debconf-set-selections` reads them: `package question type value`, a line each. */
  readonly preseed?: string;
}

/** Installs Debian packages from verified .deb files, without a network and without apt. */
export interface FoundationInstaller {
  /** Makes a system in an empty root. @throws BakehouseError STEP_FAILED, PACKAGES_UNSATISFIABLE */
  install(request: FoundationRequest): Promise<void>;
  /**
   * Installs or upgrades packages in a system that has dpkg, with the result that `dpkg --unpack` of all and
   * `dpkg --configure -a` have. @throws BakehouseError STEP_FAILED, naming the package and showing what it said
   */
  add(request: AddPackagesRequest): Promise<void>;
}
