import { BakehouseError } from "../../core/errors.ts";
import { dpkgCommand, type Preinst } from "../../core/debian/dpkg-script.ts";
import type { FoundationInstaller, FoundationRequest } from "../../ports/foundation-installer.ts";
import { addPackages } from "./add-packages.ts";
import { readPackages, type BinaryPackage } from "./binary-package.ts";
import { addUnpacked, createDatabase } from "./dpkg-database.ts";
import { describeConflict, findFileConflicts } from "./file-conflicts.ts";
import { guardImage } from "./guard-image.ts";
import { clearMountPoints, mergedLinks, mergeUsr } from "./merged-usr.ts";
import { neutralise } from "./neutralise.ts";
import { imageOwners } from "./owners.ts";
import { placePreinsts } from "./preinsts.ts";
import { runDpkg } from "./run-dpkg.ts";
import { JOBS, turn, unreadable } from "./scheduling.ts";
import { EntryWriter } from "./write-entries.ts";

/**
 * Installs a Debian system without apt and almost without dpkg:
 *
 * 1. the links of merged /usr, where the suite's base-files does not bring them;
 * 2. all packages' files, written straight from their tars, conffiles where they belong;
 * 3. dpkg's database, as if dpkg had unpacked them;
 * 4. in one sandbox command: the `preinst`s that do something, then `dpkg --configure -a`.
 *
 * The result is what mmdebstrap makes of the same packages, but for `MMDEBSTRAP_DIFFERENCES`.
 */
export function ownInstaller(): FoundationInstaller {
  return { install, add: (request) => addPackages(request, { plain: false }) };
}

async function install(request: FoundationRequest): Promise<void> {
  const { root, signal } = request;
  request.progress(`reading ${request.packages.length} packages`, 0);
  const opened = await readPackages(
    request.packages.map((file) => file.hostPath),
    { directory: root.hostPath, jobs: JOBS, signal },
  ).catch((cause: unknown) => {
    throw unreadable(cause, signal);
  });
  let preinsts: readonly Preinst[];
  try {
    const packages = inOrder(opened.packages);
    refuseConflicts(packages);
    clearMountPoints(root);
    mergeUsr(root, mergedLinks(packages));
    createDatabase(root, "amd64");
    const writer = new EntryWriter(root, imageOwners(root), "final");
    for (const [index, pack] of packages.entries()) {
      signal.throwIfAborted();
      if (index % 10 === 0) await turn();
      request.progress(`unpacking ${pack.name}`, 0.3 + (0.2 * index) / packages.length);
      writer.write(pack);
    }
    addUnpacked(root, packages, writer, "final");
    preinsts = placePreinsts(packages, writer);
  } finally {
    opened.close();
  }
  const restore = guardImage(root);
  try {
    await runDpkg(
      { ...request, count: request.packages.length },
      dpkgCommand([{ kind: "preinst", scripts: preinsts }, { kind: "configure" }], "fast"),
    );
  } finally {
    restore();
  }
  neutralise(root);
}

/** base-files first, since directories keep the attributes of whoever makes them; base-passwd's preinst makes the users. */
function inOrder(packages: readonly BinaryPackage[]): readonly BinaryPackage[] {
  const first = ["base-files", "base-passwd"];
  const rank = (pack: BinaryPackage): number => (first.includes(pack.name) ? first.indexOf(pack.name) : first.length);
  return [...packages].sort((a, b) => rank(a) - rank(b));
}

function refuseConflicts(packages: readonly BinaryPackage[]): void {
  const conflicts = findFileConflicts(packages);
  if (conflicts.length === 0) return;
  throw new BakehouseError(
    "PACKAGES_UNSATISFIABLE",
    `These packages cannot be installed together:\n${conflicts.map((conflict) => `  ${describeConflict(conflict)}`).join("\n")}`,
    {
      hint: "leave one of each pair out of `include:`, or move it to an `apt` step, where dpkg may replace files",
    },
  );
}
