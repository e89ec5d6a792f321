import { rmSync } from "node:fs";
import type { ImageDigest } from "../../core/digest.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import type { InstancePlace } from "../../ports/fleet-provider.ts";
import type { Store } from "../../ports/store.ts";
import { makeFolder, namesIn } from "../local-store/files.ts";

/** What a provider of this host writes down of an instance before it makes it; it stays when that is gone, so that no id is used twice. */
export interface InstanceNote extends InstancePlace {
  /** What it was made from or brought to. */
  readonly image: ImageDigest;
  /** Its share of traffic, once it was let in. */
  readonly weight?: number;
  readonly startedAt?: string;
  readonly endedAt?: string;
}

/**
 * Notes of one fleet of this host:
 *
 *     <store>/fleets/<recipe>/<fleet>/instances/<id>.json
 *     <store>/fleets/<recipe>/<fleet>/ended/<id>.json     of one that has ended: a look goes through none of them
 *     <store>/fleets/<recipe>/<fleet>/releases/<64 hex digits>.json   a FleetRelease: what is measured is looked up there
 */
export class FleetNotes<Note extends InstanceNote> {
  private readonly store: Store;
  private readonly folder: string;
  /** By their files, which never change. */
  private readonly kept = new Map<string, FleetRelease>();

  /** @param folder  below the store */
  constructor(store: Store, folder: string) {
    this.store = store;
    this.folder = folder;
  }

  read(id: string): Note | undefined {
    return (this.store.readNote(`${this.folder}/instances/${id}.json`) ?? this.store.readNote(`${this.folder}/ended/${id}.json`)) as
      Note | undefined;
  }

  write(note: Note): void {
    const place = note.endedAt === undefined ? "instances" : "ended";
    makeFolder(this.store.path(this.folder, place));
    this.store.writeNote(`${this.folder}/${place}/${note.id}.json`, note);
    if (place === "ended") rmSync(this.store.path(this.folder, "instances", `${note.id}.json`), { force: true });
  }

  /** Of instances that have not ended. */
  open(): readonly Note[] {
    return namesIn(this.store.path(this.folder, "instances"))
      .filter((name) => name.endsWith(".json"))
      .flatMap((name): readonly Note[] => {
        const note = this.store.readNote(`${this.folder}/instances/${name}`) as Note | undefined;
        return note === undefined ? [] : [note];
      });
  }

  keepRelease(release: FleetRelease): void {
    makeFolder(this.store.path(this.folder, "releases"));
    this.store.writeNote(`${this.folder}/releases/${release.image.slice("sha256:".length)}.json`, release);
  }

  releases(): readonly FleetRelease[] {
    return namesIn(this.store.path(this.folder, "releases"))
      .filter((name) => name.endsWith(".json"))
      .map((name) => {
        const release = this.kept.get(name) ?? (this.store.readNote(`${this.folder}/releases/${name}`) as FleetRelease);
        this.kept.set(name, release);
        return release;
      });
  }
}
