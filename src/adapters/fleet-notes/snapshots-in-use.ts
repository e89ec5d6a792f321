import type { Store } from "../../ports/store.ts";
import { namesIn } from "../local-store/files.ts";

/** Keys of the snapshots from which machines of any fleet of this host run, and one such machine of each. */
export function snapshotsInUse(store: Store): ReadonlyMap<string, string> {
  const used = new Map<string, string>();
  for (const recipe of namesIn(store.path("fleets")))
    for (const fleet of namesIn(store.path("fleets", recipe)))
      for (const name of namesIn(store.path("fleets", recipe, fleet, "instances"))) {
        const note = store.readNote(`fleets/${recipe}/${fleet}/instances/${name}`) as Note | undefined;
        if (note?.snapshot !== undefined && note.endedAt === undefined) used.set(note.snapshot, note.id);
      }
  return used;
}

interface Note {
  readonly id: string;
  readonly snapshot?: string;
  readonly endedAt?: string;
}
