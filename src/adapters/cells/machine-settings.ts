import { FABRIC } from "../../core/cell/fabric.ts";
import type { ImageRoot } from "../../ports/image-root.ts";

/**
 * What a machine would otherwise be told by DHCP, and what keeps its own network services from undoing the address that the
 * fabric has given it. The interface is called `cell0`, which no image's own settings name.
 */
export function writeNetworkSettings(root: ImageRoot): void {
  const isResolved = (root.readLink("/etc/resolv.conf") ?? "").includes("/run/systemd/resolve/");
  if (isResolved) root.write("/etc/systemd/resolved.conf.d/bakehouse-cell.conf", `[Resolve]\nDNS=${FABRIC.resolver}\n`);
  else if (!/^\s*nameserver\s/m.test(root.readText("/etc/resolv.conf") ?? "")) {
    root.remove("/etc/resolv.conf");
    root.write("/etc/resolv.conf", `nameserver ${FABRIC.resolver}\n`);
  }
  if (root.stat("/usr/lib/systemd/systemd-networkd") !== undefined)
    root.write("/etc/systemd/network/00-bakehouse-cell.network", "[Match]\nName=cell0\n\n[Link]\nUnmanaged=yes\n");
}

/**
 * What a machine writes is kept in memory here, and its journal would take 8 MB of that at once, as much as all else that it writes
 * (measured): smaller files, and not too many.
 */
export function writeJournalSettings(root: ImageRoot): void {
  const limits = ["System", "Runtime"].flatMap((kind) => [`${kind}MaxFileSize=1M`, `${kind}MaxUse=64M`]);
  root.write("/etc/systemd/journald.conf.d/bakehouse-cell.conf", `[Journal]\n${limits.join("\n")}\n`);
}

/** Where systemd may lie. */
const SYSTEMD = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"] as const;

export const hasSystemd = (root: ImageRoot): boolean => SYSTEMD.some((path) => root.stat(path) !== undefined);
