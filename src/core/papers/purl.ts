import type { Inventory } from "./inventory.ts";

/** A package URL (purl-spec, type `deb`). */
export function debianPurl(
  pkg: { readonly name: string; readonly version: string; readonly architecture: string },
  os: Pick<Inventory["os"], "id" | "versionId"> = { id: "debian", versionId: "" },
): string {
  const vendor = os.id === "" ? "debian" : os.id;
  const distro = os.versionId === "" ? "" : `&distro=${vendor}-${os.versionId}`;
  return `pkg:deb/${vendor}/${encodeURIComponent(pkg.name)}@${encodeURIComponent(pkg.version)}?arch=${pkg.architecture}${distro}`;
}
