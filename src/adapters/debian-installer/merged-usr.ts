import type { ImageRoot } from "../../ports/image-root.ts";
import type { PackageControl } from "./binary-package.ts";
import { compareVersions } from "../../core/debian/version.ts";

/** debootstrap's list for amd64. */
const LINKS = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"] as const;

/** base-files brings the links itself, and fewer, since 13.3 (trixie). */
const BROUGHT_SINCE = "13.3";

/** Which top-level names have to be made links into /usr before the first package. */
export function mergedLinks(packages: readonly Pick<PackageControl, "name" | "version">[]): readonly string[] {
  const baseFiles = packages.find((pack) => pack.name === "base-files");
  return baseFiles !== undefined && compareVersions(baseFiles.version, BROUGHT_SINCE) >= 0 ? [] : LINKS;
}

export function mergeUsr(root: ImageRoot, links: readonly string[]): void {
  for (const name of links) {
    root.makeDirectory(`/usr/${name}`, { mode: 0o755 });
    root.symlink(`/${name}`, `usr/${name}`);
  }
}

/** The sandbox may have made /proc, /tmp and others to mount on; base-files brings them with their own attributes. */
export function clearMountPoints(root: ImageRoot): void {
  for (const name of root.list("/")) {
    if (root.lstat(`/${name}`)?.kind === "directory" && root.list(`/${name}`).length === 0) root.remove(`/${name}`);
  }
}
