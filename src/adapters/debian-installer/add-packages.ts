import { BakehouseError } from "../../core/errors.ts";
import { dpkgCommand, type DpkgPart } from "../../core/debian/dpkg-script.ts";
import type { AddPackagesRequest } from "../../ports/foundation-installer.ts";
import type { SandboxMount } from "../../ports/sandbox.ts";
import { readControl, readPackages, type BinaryPackage, type PackageControl } from "./binary-package.ts";
import { addUnpacked, DATABASE, noteTriggers } from "./dpkg-database.ts";
import { readStatus } from "./dpkg-status.ts";
import { guardImage } from "./guard-image.ts";
import { whyNotByControl, whyNotByFiles } from "./may-write.ts";
import { imageOwners } from "./owners.ts";
import { placePreinsts } from "./preinsts.ts";
import { installRounds } from "./rounds.ts";
import { runDpkg } from "./run-dpkg.ts";
import { JOBS, turn, unreadable } from "./scheduling.ts";
import { EntryWriter } from "./write-entries.ts";

/** Where the sandbox sees the packages' files when dpkg itself unpacks them. */
const FOLDER = "/run/bakehouse-packages";

/** `plain`: dpkg unpacks everything itself, as the reference that the other way is compared with. */
export interface AddOptions {
  readonly plain: boolean;
}

/**
 * Installs packages over a system, in rounds where one must be configured before another is unpacked (Pre-Depends). A
 * round whose packages are all new and in nobody's way is unpacked here, like a foundation; dpkg unpacks any other.
 */
export async function addPackages(request: AddPackagesRequest, options: AddOptions): Promise<void> {
  const { packages, root, signal } = request;
  if (packages.files.length === 0) return;
  if (root.stat("/usr/bin/dpkg")?.kind !== "file" || root.stat(`${DATABASE}/status`)?.kind !== "file") throw noDpkg();
  const reading = { directory: root.hostPath, jobs: JOBS, signal };
  const control = await readControl(
    packages.files.map((file) => file.hostPath),
    reading,
  ).catch((cause: unknown) => {
    throw unreadable(cause, signal);
  });
  const restore = guardImage(root);
  try {
    const work = new Adding(request, options);
    for (const round of installRounds(control)) await work.install(round);
  } finally {
    restore();
  }
}

const noDpkg = (): BakehouseError =>
  new BakehouseError("STEP_FAILED", "This image has no dpkg, so no package can be installed in it", {
    hint: "start from `debian`, or from a root file system that is a Debian",
  });

class Adding {
  private readonly request: AddPackagesRequest;
  private readonly options: AddOptions;
  /** Answers go in with the first command and stay. */
  private pending: readonly DpkgPart[];

  constructor(request: AddPackagesRequest, options: AddOptions) {
    this.request = request;
    this.options = options;
    this.pending = request.preseed === undefined ? [] : [{ kind: "preseed", selections: request.preseed }];
  }

  async install(round: readonly PackageControl[]): Promise<void> {
    const reason = this.options.plain
      ? "asked for"
      : (whyNotByControl(this.request.root, round, readStatus(this.request.root)) ?? (await this.write(round)));
    if (reason === undefined) return this.run([{ kind: "configure" }]);
    if (!this.options.plain) this.request.log(`dpkg unpacks these packages itself: ${reason}`);
    await this.run(
      [{ kind: "unpack", files: round.map((pack) => `${FOLDER}/${this.fileName(pack)}`) }, { kind: "configure" }],
      [{ hostPath: this.request.packages.folder(), path: FOLDER }],
    );
  }

  /** Unpacks as dpkg would. @returns why it did not */
  private async write(round: readonly PackageControl[]): Promise<string | undefined> {
    const { root, signal } = this.request;
    const opened = await readPackages(
      round.map((pack) => pack.hostPath),
      { directory: root.hostPath, jobs: JOBS, signal },
      round,
    ).catch((cause: unknown) => {
      throw unreadable(cause, signal);
    });
    try {
      const { packages } = opened;
      const reason = whyNotByFiles(root, packages) ?? (await this.runPreinsts(packages));
      if (reason !== undefined) return reason;
      await this.writeAll(packages);
      return undefined;
    } finally {
      opened.close();
    }
  }

  /** A preinst may divert files or put some in the way. */
  private async runPreinsts(packages: readonly BinaryPackage[]): Promise<string | undefined> {
    const { root } = this.request;
    const scripts = placePreinsts(packages, new EntryWriter(root, imageOwners(root), "dpkg-new"));
    if (scripts.length === 0) return undefined;
    await this.run([{ kind: "preinst", scripts }]);
    return whyNotByFiles(root, packages);
  }

  private async writeAll(packages: readonly BinaryPackage[]): Promise<void> {
    const { root, signal, progress } = this.request;
    const writer = new EntryWriter(root, imageOwners(root), "dpkg-new");
    for (const [index, pack] of packages.entries()) {
      signal.throwIfAborted();
      if (index % 10 === 0) await turn();
      progress(`unpacking ${pack.name}`, (0.5 * index) / packages.length);
      writer.write(pack);
    }
    addUnpacked(root, packages, writer, "dpkg-new");
    noteTriggers(root, packages);
  }

  private run(parts: readonly DpkgPart[], mounts: readonly SandboxMount[] = []): Promise<void> {
    const { sandbox, log, progress, packages } = this.request;
    const all = [...this.pending, ...parts];
    this.pending = [];
    return runDpkg(
      { sandbox, log, progress, count: packages.files.length },
      { ...dpkgCommand(all, this.options.plain ? "plain" : "fast"), mounts },
    );
  }

  private fileName(pack: PackageControl): string {
    const file = this.request.packages.files.find(({ hostPath }) => hostPath === pack.hostPath);
    if (file === undefined) throw new BakehouseError("STEP_FAILED", `${pack.name} is not among the step's packages`);
    return `${file.name}_${file.version.replaceAll(":", "%3a")}_${file.architecture}.deb`;
  }
}
