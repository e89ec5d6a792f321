import type { PackageFile } from "./package-store.ts";
import type { ImageRoot } from "./image-root.ts";
import type { Sandbox } from "./sandbox.ts";

export interface FoundationRequest {
  readonly suite: string;
  readonly packages: readonly PackageFile[];
  readonly root: ImageRoot;
  readonly sandbox: Sandbox;
  readonly epochSeconds: number;
  readonly signal: AbortSignal;
  log(line: string): void;
  progress(message: string, fraction?: number): void;
}

/** Installs a Debian system into an empty root from verified .deb files, without a network. */
export interface FoundationInstaller {
  install(request: FoundationRequest): Promise<void>;
}
