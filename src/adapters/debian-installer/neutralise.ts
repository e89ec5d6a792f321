import type { ImageRoot } from "../../ports/image-root.ts";

/**
 * Gives the files that belong to one machine, and that no package owns, the same neutral content everywhere: nothing of
 * the baking host gets in, and nothing points to a package repository.
 */
export function neutralise(root: ImageRoot): void {
  root.write("/etc/hostname", "localhost\n");
  // Empty, never absent or "uninitialized": systemd then makes an id at boot without taking it for the first boot.
  root.write("/etc/machine-id", "", { mode: 0o444 });
  root.write("/etc/fstab", "# UNCONFIGURED FSTAB FOR BASE SYSTEM\n");
  root.remove("/etc/resolv.conf");
  root.remove("/etc/apt/sources.list");
  for (const name of root.list("/etc/apt/sources.list.d")) root.remove(`/etc/apt/sources.list.d/${name}`);
}
