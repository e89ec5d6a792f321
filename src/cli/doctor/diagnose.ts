import { existsSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { findShortfall, type HostFault, installCommand, packagesOf } from "../../adapters/host-tools/check-setup.ts";
import { examineHost, type ToolReport } from "../../adapters/host-tools/examine-host.ts";
import { findProgram } from "../../adapters/host-tools/find-program.ts";
import { type Host, thisHost } from "../../adapters/host-tools/host.ts";
import { installPackages } from "../../adapters/host-tools/install-packages.ts";
import { type Feature, FEATURES } from "../../adapters/host-tools/tools.ts";

export interface Diagnosis {
  /** Whether everything asked for is there. */
  readonly ready: boolean;
  readonly features: readonly Feature[];
  readonly faults: readonly HostFault[];
  readonly tools: readonly ToolReport[];
  /** What to type to get what is missing for `features`; empty when nothing is. */
  readonly commands: readonly string[];
  readonly store: { readonly folder: string; readonly freeBytes: number; readonly overlay: boolean };
}

export interface DiagnoseOptions {
  /** What must be there; empty for `core`, and then everything is listed. */
  readonly asked: readonly Feature[];
  readonly install: boolean;
  readonly store: string;
  /** Told before packages are installed. */
  readonly onInstall: (packages: readonly string[]) => void;
  /** What apt-get says. */
  readonly onLine: (line: string) => void;
}

/** @throws BakehouseError SETUP_INCOMPLETE when it was asked to install and could not */
export async function diagnose({ asked, install, store, onInstall, onLine }: DiagnoseOptions): Promise<Diagnosis> {
  const features: readonly Feature[] = asked.length === 0 ? ["core"] : asked;
  const host = thisHost();
  const wanted = install && canInstall(host) ? packagesOf(findShortfall(features, host).missing) : [];
  if (wanted.length > 0) {
    onInstall(wanted);
    await installPackages(wanted, host, onLine);
  }
  const { faults, missing } = findShortfall(features, host);
  const { tools } = await examineHost(asked.length === 0 ? FEATURES : asked, host);
  return {
    ready: faults.length === 0 && missing.length === 0,
    features,
    faults,
    tools,
    commands: missing.length === 0 ? [] : [installCommand(packagesOf(missing), host)],
    store: examineStore(store),
  };
}

/** Elsewhere nothing is tried: the commands to type are in the result. */
const canInstall = (host: Host): boolean => host.platform === "linux" && host.uid === 0 && findProgram("apt-get", host.path) !== undefined;

const OVERLAYFS_MAGIC = 0x794c7630; // linux/magic.h

/** Overlay file systems cannot lie on another overlay, so a store inside a container's own root cannot bake. */
function examineStore(folder: string): Diagnosis["store"] {
  let there = folder;
  while (!existsSync(there)) there = dirname(there);
  const { bavail, bsize, type } = statfsSync(there);
  return { folder, freeBytes: bavail * bsize, overlay: type === OVERLAYFS_MAGIC };
}
