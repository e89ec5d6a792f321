import type { ImageRoot } from "../../ports/image-root.ts";
import type { Owners } from "./write-entries.ts";

/** Reads the image's users and groups; a name that it does not have counts by its number, as for dpkg. */
export function imageOwners(root: ImageRoot): Owners {
  const users = idsByName(root.readText("/etc/passwd"));
  const groups = idsByName(root.readText("/etc/group"));
  return { user: (name, id) => users.get(name) ?? id, group: (name, id) => groups.get(name) ?? id };
}

/** `name:password:id:…`, a line each: passwd(5) and group(5) begin alike. */
function idsByName(text: string | undefined): ReadonlyMap<string, number> {
  const ids = new Map<string, number>();
  for (const line of text?.split("\n") ?? []) {
    const [name, , id] = line.split(":");
    if (name !== undefined && id !== undefined && /^\d+$/.test(id) && !ids.has(name)) ids.set(name, Number(id));
  }
  return ids;
}
