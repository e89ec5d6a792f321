import { homedir } from "node:os";
import { join, resolve } from "node:path";

/**
 * Where images, packages and the catalog are kept: `--store`, else `$BAKEHOUSE_HOME`, else `/var/lib/bakehouse` for root
 * and `$XDG_DATA_HOME/bakehouse` (`~/.local/share/bakehouse`) for others.
 */
export function storeFolder(
  given: string | undefined,
  place: { readonly folder: string; readonly env: Readonly<Record<string, string | undefined>>; readonly uid: number },
): string {
  const chosen = given ?? place.env["BAKEHOUSE_HOME"];
  if (chosen !== undefined && chosen !== "") return resolve(place.folder, chosen);
  if (place.uid === 0) return "/var/lib/bakehouse";
  const data = place.env["XDG_DATA_HOME"];
  return join(data === undefined || data === "" ? join(homedir(), ".local", "share") : data, "bakehouse");
}
