import { once } from "node:events";
import { readFileSync, realpathSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import type { ImageDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { InstanceReport } from "../../core/fleet/instance.ts";
import type { Fleet } from "../../core/fleet/model.ts";
import { overlayLowers } from "../../core/layer/overlay-lowers.ts";
import type { CellState, Cells } from "../../ports/cells.ts";
import type { TreeSource } from "../../ports/image-trees.ts";
import type { Store } from "../../ports/store.ts";
import { cellFolderOf, keeperOf } from "../cells/records.ts";
import { makeFolder } from "../local-store/files.ts";
import type { Balancer } from "./balancer.ts";

/**
 * What is written down before an instance is made, and stays when it is gone, so that no id is used twice:
 *
 *     <store>/fleets/<fleet>/instances/<id>.json
 */
interface InstanceNote {
  readonly id: string;
  readonly zone: string;
  readonly image: ImageDigest;
  /** Port of this machine's loopback that leads to its backend port. */
  readonly port: number;
  readonly endedAt?: string;
}

export interface LocalFleetParts {
  readonly store: Store;
  readonly cells: Cells;
  readonly balancer: Balancer;
  /** What an image is made of. @throws IMAGE_NOT_FOUND, IMAGE_REVOKED */
  readonly imageOf: (digest: ImageDigest) => { readonly name: string; readonly source: TreeSource };
}

/** Cells of this host as the instances of a fleet, behind a load balancer. Every action may be asked for again. */
export function localFleet({ store, cells, balancer, imageOf }: LocalFleetParts, fleet: Fleet) {
  const notePath = (id: string): string => `fleets/${fleet.name}/instances/${id}.json`;
  const noteOf = (id: string): InstanceNote | undefined => store.readNote(notePath(id)) as InstanceNote | undefined;
  const nameOf = (id: string): string => `${fleet.name}-${id}`;
  const cellOf = (id: string): CellState | undefined => cells.list().find(({ name }) => name === nameOf(id));
  const isUp = (state: CellState | undefined): boolean => state?.status === "running" || state?.status === "starting";
  return {
    observe: async (ids: readonly string[]): Promise<readonly InstanceReport[]> => {
      await balancer.ensureRunning();
      const served = new Map((await balancer.servers()).map((server) => [server.id, server]));
      return ids.flatMap((id): readonly InstanceReport[] => {
        const note = noteOf(id);
        if (note === undefined || note.endedAt !== undefined) return [];
        const state = cellOf(id);
        const server = served.get(id);
        const up = isUp(state);
        return [
          {
            id,
            zone: note.zone,
            provided: note.image,
            running: state !== undefined && up ? measure(store, state) : undefined,
            bootedAt: state !== undefined && up ? state.startedAt : undefined,
            health: up ? (server?.health ?? "unknown") : "unhealthy",
            serving: up && (server?.serving ?? false),
            observedAt: new Date().toISOString(),
          },
        ];
      });
    },
    launch: async (
      { id, zone, image }: { readonly id: string; readonly zone: string; readonly image: ImageDigest },
      signal: AbortSignal,
    ) => {
      const earlier = noteOf(id);
      if (earlier?.endedAt !== undefined)
        throw new BakehouseError("INPUT_INVALID", `Fleet ${fleet.name} had an instance ${id}, and no id is used twice`, {
          hint: "give it an id of its own",
        });
      const { name, source } = imageOf(image);
      const note = earlier ?? { id, zone, image, port: await freePort() };
      makeFolder(store.path("fleets", fleet.name, "instances"));
      if (earlier === undefined) store.writeNote(notePath(id), note);
      if (isUp(cellOf(id))) return;
      await cells.start(
        {
          image: { digest: note.image, name },
          source,
          name: nameOf(id),
          purpose: "run",
          publish: [{ hostPort: note.port, cellPort: fleet.traffic?.backend ?? 80 }],
          files: fleet.launch.files,
          credentials: fleet.launch.credentials,
        },
        signal,
      );
    },
    admit: async (id: string): Promise<void> => {
      const note = noteOf(id);
      if (note !== undefined) await balancer.add({ id, port: note.port });
    },
    drain: (id: string, deadlineMs: number): Promise<boolean> => balancer.drain(id, deadlineMs),
    terminate: async (id: string): Promise<void> => {
      const note = noteOf(id);
      if (note === undefined) return;
      await balancer.remove(id);
      if (cellOf(id) !== undefined) await cells.find(nameOf(id)).stop({ now: true });
      store.writeNote(notePath(id), { ...note, endedAt: note.endedAt ?? new Date().toISOString() });
    },
  };
}

/**
 * The image that a cell runs, as the kernel says: the lower folders of the overlay that its keeper holds are those of the image, and
 * the file behind the erofs at the volume's path is its volume.
 *
 * @returns nothing when they are not
 */
function measure(store: Store, { id, image, source }: CellState): ImageDigest | undefined {
  const keeper = keeperOf(cellFolderOf(store, id));
  if (keeper === undefined) return undefined;
  const mounts = readFileSync(`/proc/${keeper.pid}/mountinfo`, "utf8").split("\n");
  const root = mounts.find((line) => line.includes(` ${ROOT} `) && line.includes(" - overlay "));
  const expected = overlayLowers(source.diffs).map((diff) => store.diffs.name(diff));
  if (/lowerdir=([^,\s]+)/.exec(root ?? "")?.[1] !== expected.join(":")) return undefined;
  if (source.volume === undefined) return image.digest;
  // the newest mount at a place is the one that is seen
  const volume = mounts.findLast((line) => line.includes(` ${ROOT}${source.volume?.path ?? ""} `));
  const loop = / - erofs \/dev\/(loop\d+) /.exec(volume ?? "")?.[1];
  if (loop === undefined) return undefined;
  const file = readFileSync(`/sys/block/${loop}/loop/backing_file`, "utf8").trim();
  return file === realpathSync(store.blobs.path(source.volume.blob)) ? image.digest : undefined;
}

/** Where a keeper holds the merged tree of its cell. */
const ROOT = "/run/cell/root";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
