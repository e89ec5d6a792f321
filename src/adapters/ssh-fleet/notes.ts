import { rmSync } from "node:fs";
import type { ImageDigest, Sha256 } from "../../core/digest.ts";
import { hexOf } from "../../core/digest.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import type { Store } from "../../ports/store.ts";
import { makeFolder } from "../local-store/files.ts";

/** What a machine was brought to. */
export interface MachineNote {
  readonly image: ImageDigest;
  readonly volume: { readonly blob: Sha256; readonly path: string };
}

/** A release that has a volume. */
interface ReleaseNote {
  readonly image: ImageDigest;
  readonly diffs: readonly string[];
}

/**
 * What is remembered of a fleet of own machines:
 *
 *     <store>/fleets/<recipe>/<fleet>/machines/<host>.json    what it was brought to (`MachineNote`); written once it is there
 *     <store>/fleets/<recipe>/<fleet>/volumes/<hex>.json      releases that have this volume (`ReleaseNote[]`); written before it is sent
 *     <store>/fleets/<recipe>/<fleet>/tars/<hex>.tar          the volume as a tar, for machines that cannot mount it
 *
 * @param key  of the fleet, `<recipe>/<name>`
 */
export function fleetNotes(store: Store, key: string) {
  const folder = `fleets/${key}`;
  const machine = (id: string): string => `${folder}/machines/${id}.json`;
  const volume = (blob: Sha256): string => `${folder}/volumes/${hexOf(blob)}.json`;
  const releasesOf = (blob: Sha256): readonly ReleaseNote[] => (store.readNote(volume(blob)) as readonly ReleaseNote[] | undefined) ?? [];
  return {
    tars: store.path(folder, "tars"),
    machine: (id: string) => (store.readNote(machine(id)) ?? undefined) as MachineNote | undefined,
    brought: (id: string, note: MachineNote) => {
      makeFolder(store.path(folder, "machines"));
      store.writeNote(machine(id), note);
    },
    forget: (id: string) => {
      if (store.readNote(machine(id)) !== undefined) store.writeNote(machine(id), null);
    },
    forgetTars: () => rmSync(store.path(folder, "tars"), { recursive: true, force: true }),
    /** Releases that have this volume, the newest first. */
    releasesOf,
    isBringing: ({ image, diffs, volume: { blob } }: FleetRelease & { readonly volume: { readonly blob: Sha256 } }) => {
      makeFolder(store.path(folder, "volumes"));
      store.writeNote(volume(blob), [{ image, diffs }, ...releasesOf(blob).filter((other) => other.image !== image)]);
    },
  };
}
