import { copyFileSync, linkSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { LockedPackage } from "../../core/lock/model.ts";
import type { PackageFile, PackageSet, PackageStore } from "../../ports/package-store.ts";
import { storeError } from "../local-store/files.ts";

/**
 * The packages of one step as files.
 *
 * @param workFolder  where `folder()` makes its folder when it is asked for one: hard links if this is on the store's disk,
 *                    else copies. Whoever owns `workFolder` removes it
 * @throws BakehouseError MIRROR_UNAVAILABLE, naming what the store lacks
 */
export function packageSet(store: PackageStore, packages: readonly LockedPackage[], workFolder: string): PackageSet {
  const found = packages.map((item) => ({ ...item, hostPath: store.find(item.sha256) }));
  const missing = found.filter((item) => item.hostPath === undefined);
  if (missing.length > 0) throw missingError(missing, packages.length);
  const files = found as readonly PackageFile[];
  let folder: string | undefined;
  return { files, folder: () => (folder ??= makeFolder(files, workFolder)) };
}

function missingError(missing: readonly LockedPackage[], total: number): BakehouseError {
  const names = missing.map(({ name, version }) => `${name} ${version}`);
  const message = `The store lacks ${missing.length} of ${total} packages: ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}`;
  return new BakehouseError("MIRROR_UNAVAILABLE", message, {
    hint: "run again with a network, so that they can be fetched",
    details: { missing: names },
  });
}

/** `:` does not go into the file name of a package; apt writes `%3a` too. */
const packageFileName = (item: LockedPackage): string => `${item.name}_${item.version.replaceAll(":", "%3a")}_${item.architecture}.deb`;

function makeFolder(files: readonly PackageFile[], workFolder: string): string {
  try {
    mkdirSync(workFolder, { recursive: true });
    const folder = mkdtempSync(join(workFolder, "packages-"));
    try {
      for (const file of files) linkOrCopy(file.hostPath, join(folder, packageFileName(file)));
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
    return folder;
  } catch (error) {
    throw storeError(error, workFolder);
  }
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EXDEV" && code !== "EPERM" && code !== "EMLINK") throw error;
    copyFileSync(from, to);
  }
}
