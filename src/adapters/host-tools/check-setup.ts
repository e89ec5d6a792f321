import { BakehouseError } from "../../core/errors.ts";
import { findProgram } from "./find-program.ts";
import { type Host, thisHost } from "./host.ts";
import { type Feature, type HostTool, toolsFor } from "./tools.ts";

/** Something about the machine itself that no package brings. */
export interface HostFault {
  readonly what: string;
  readonly remedy: string;
}

export interface Shortfall {
  readonly faults: readonly HostFault[];
  readonly missing: readonly HostTool[];
}

/** What stops a bake on this machine, in the order in which to mend it. A stat for each program, no process: 1 ms. */
export function findShortfall(features: readonly Feature[], host: Host = thisHost()): Shortfall {
  return { faults: faultsOf(host), missing: toolsFor(features).filter((tool) => findProgram(tool.name, host.path) === undefined) };
}

/** @throws BakehouseError SETUP_INCOMPLETE with everything that is missing and the command that brings it */
export function checkSetup(features: readonly Feature[], host: Host = thisHost()): void {
  const { faults, missing } = findShortfall(features, host);
  if (faults.length === 0 && missing.length === 0) return;
  const remedies = faults.map(({ remedy }) => remedy);
  if (missing.length > 0) remedies.push(installCommand(packagesOf(missing), host));
  throw new BakehouseError("SETUP_INCOMPLETE", `This machine cannot bake yet:\n${shortfallLines({ faults, missing }).join("\n")}`, {
    hint: [...remedies, "bakehouse doctor"].join("\n"),
    details: {
      faults: faults.map((fault) => ({ ...fault })),
      missing: missing.map(({ name, debianPackage, purpose }) => ({ name, debianPackage, purpose })),
    },
  });
}

const shortfallLines = ({ faults, missing }: Shortfall): readonly string[] => [
  ...faults.map(({ what }) => `  - ${what}`),
  ...missing.map(({ name, debianPackage, purpose }) => `  - ${name} (Debian package ${debianPackage}): ${purpose}`),
];

/** Faults of the machine; on another system than Linux nothing else is worth saying. */
export function faultsOf(host: Host): readonly HostFault[] {
  if (host.platform !== "linux" || host.architecture !== "x64") {
    return [
      {
        what: `this is ${host.platform} on ${host.architecture}; images are baked on Linux on x64 (amd64)`,
        remedy: "use a Debian 12 machine, a virtual machine, or a privileged container of debian:12",
      },
    ];
  }
  if (!host.hasProc) return [{ what: "/proc is not mounted", remedy: "mount -t proc proc /proc" }];
  const faults: HostFault[] = [];
  if (host.uid !== 0)
    faults.push({
      what: `you are not root (uid ${host.uid}); mounts and file owners of an image need it`,
      remedy: "run the same command through sudo",
    });
  else if (!host.canMount)
    faults.push({
      what: "root may not mount here (no CAP_SYS_ADMIN); this looks like a container",
      remedy: "start the container with --privileged",
    });
  for (const name of ["overlay", "erofs"] as const) {
    if (!host.hasFileSystem(name)) faults.push({ what: `the kernel has no ${name} file system`, remedy: `modprobe ${name}` });
  }
  const namespaces = (["mnt", "net", "pid", "uts", "ipc"] as const).filter((name) => !host.hasNamespace(name));
  if (namespaces.length > 0)
    faults.push({
      what: `the kernel has no ${namespaces.join(", ")} namespaces`,
      remedy: "use a kernel with namespaces (every Debian kernel has them)",
    });
  return faults;
}

export const packagesOf = (tools: readonly HostTool[]): readonly string[] => [...new Set(tools.map((tool) => tool.debianPackage))].sort();

/** What to type; on a machine without apt the list of Debian packages to find elsewhere. */
export function installCommand(packages: readonly string[], host: Host): string {
  if (findProgram("apt-get", host.path) === undefined)
    return `install what these Debian packages hold with this system's own package manager: ${packages.join(" ")}`;
  return `${host.uid === 0 ? "" : "sudo "}apt-get install --yes --no-install-recommends ${packages.join(" ")}`;
}
