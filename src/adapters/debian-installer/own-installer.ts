import { BakehouseError } from "../../core/errors.ts";
import { dpkgCommand, isIdleAtFirst, type Preinst } from "../../core/debian/dpkg-script.ts";
import type { FoundationInstaller, FoundationRequest } from "../../ports/foundation-installer.ts";
import { contentOf, readPackages, type BinaryPackage } from "./binary-package.ts";
import { addUnpacked, createDatabase, DATABASE } from "./dpkg-database.ts";
import { describeConflict, findFileConflicts } from "./file-conflicts.ts";
import { neutralise } from "./neutralise.ts";
import { imageOwners } from "./owners.ts";
import { runDpkg } from "./run-dpkg.ts";
import { EntryWriter } from "./write-entries.ts";

/** xz processes side by side; two keep a small machine busy and leave larger ones to other layers. */
const JOBS = 2;

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
  return { install };
}

async function install(request: FoundationRequest): Promise<void> {
  const { root, signal } = request;
  request.progress(`reading ${request.packages.length} packages`, 0);
  const opened = await readPackages(request.packages.map((file) => file.hostPath), { directory: root.hostPath, jobs: JOBS, signal }).catch((cause: unknown) => {
    throw unreadable(cause, signal);
  });
  const preinsts: Preinst[] = [];
  try {
    const packages = inOrder(opened.packages);
    refuseConflicts(packages);
    clearMountPoints(request);
    mergeUsr(request, packages);
    createDatabase(root, "amd64");
    const writer = new EntryWriter(root, imageOwners(root), "final");
    for (const [index, pack] of packages.entries()) {
      signal.throwIfAborted();
      if (index % 10 === 0) await turn();
      request.progress(`unpacking ${pack.name}`, 0.3 + (0.2 * index) / packages.length);
      writer.write(pack);
    }
    addUnpacked(root, packages, writer, "final");
    preinsts.push(...placePreinsts(packages, writer));
  } finally {
    opened.close();
  }
  await runDpkg(request, dpkgCommand([{ kind: "preinst", scripts: preinsts }, { kind: "configure" }]));
  neutralise(root);
}

/** Lets other work of this process happen between two packages. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** base-files first, since directories keep the attributes of whoever makes them; base-passwd's preinst makes the users. */
function inOrder(packages: readonly BinaryPackage[]): readonly BinaryPackage[] {
  const first = ["base-files", "base-passwd"];
  const rank = (pack: BinaryPackage): number => (first.includes(pack.name) ? first.indexOf(pack.name) : first.length);
  return [...packages].sort((a, b) => rank(a) - rank(b));
}

function refuseConflicts(packages: readonly BinaryPackage[]): void {
  const conflicts = findFileConflicts(packages);
  if (conflicts.length === 0) return;
  throw new BakehouseError("PACKAGES_UNSATISFIABLE", `These packages cannot be installed together:\n${conflicts.map((conflict) => `  ${describeConflict(conflict)}`).join("\n")}`, {
    hint: "leave one of each pair out of `include:`, or move it to an `apt` step, where dpkg may replace files",
  });
}

const unreadable = (cause: unknown, signal: AbortSignal): unknown => {
  if (signal.aborted) return new BakehouseError("CANCELLED", "Stopped while the packages were read", {}, cause);
  return new BakehouseError("STEP_FAILED", `A package cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { hint: "bakehouse verify, to find damaged packages in the store" }, cause);
};

/** The sandbox may have made /proc, /tmp and others to mount on; base-files brings them with their own attributes. */
function clearMountPoints({ root }: FoundationRequest): void {
  for (const name of root.list("/")) {
    if (root.lstat(`/${name}`)?.kind === "directory" && root.list(`/${name}`).length === 0) root.remove(`/${name}`);
  }
}

/** debootstrap's list for amd64. Newer suites' base-files brings its own links, and fewer. */
const MERGED = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"] as const;

function mergeUsr({ root }: FoundationRequest, packages: readonly BinaryPackage[]): void {
  const brought = packages.some((pack) => pack.name === "base-files" && pack.entries.some((entry) => entry.path === "/bin" && entry.kind === "symlink"));
  if (brought) return;
  for (const name of MERGED) {
    root.makeDirectory(`/usr/${name}`, { mode: 0o755 });
    root.symlink(`/${name}`, `usr/${name}`);
  }
}

/** Gives every preinst that does something the folder that dpkg would run it from. */
function placePreinsts(packages: readonly BinaryPackage[], writer: EntryWriter): readonly Preinst[] {
  const acting = packages.filter((pack) => {
    const script = contentOf(pack.control, "preinst");
    return script !== undefined && !isIdleAtFirst(script.toString("utf8"));
  });
  return acting.map((pack, index) => {
    const controlFolder = `bakehouse.ci.${index}`;
    for (const member of pack.control) writer.addFile(`${DATABASE}/${controlFolder}/${member.name}`, member.content, member);
    return { packageName: pack.name, architecture: pack.architecture, controlFolder };
  });
}
