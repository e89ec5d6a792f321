/**
 * Extended attributes that belong to the content of an image. Everything else belongs to the host that bakes: overlayfs'
 * own marks (`trusted.overlay.origin` holds inode handles), SELinux and IMA labels of the host's policy, NFS and btrfs state.
 */
export function belongsToContent(name: string): boolean {
  if (name.startsWith("user.")) return !name.startsWith("user.overlay.");
  return name === "security.capability" || name === "system.posix_acl_access" || name === "system.posix_acl_default";
}

/** Marks that must not stay on a directory that becomes an overlay lower directory, or must be set there by us alone. */
export const isOverlayMark = (name: string): boolean => name.startsWith("trusted.") || name.startsWith("user.overlay.");

export const OPAQUE_MARK = "trusted.overlay.opaque";

/** Set when overlayfs runs with redirect_dir or metacopy: the upper directory alone does not hold the change then. */
export const FORBIDDEN_MARKS: readonly string[] = ["trusted.overlay.redirect", "trusted.overlay.metacopy"];
