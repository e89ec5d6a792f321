import { overlayLowers } from "../../core/layer/overlay-lowers.ts";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, realpathSync, rmdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { BakehouseError } from "../../core/errors.ts";
import type { ImageMount, ImageMounts, MountState } from "../../ports/image-mounts.ts";
import type { Store } from "../../ports/store.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { namesIn } from "../local-store/files.ts";
import { mountPoints } from "./mount-table.ts";

/**
 * Read-only mounts of images on the host:
 *
 *     <store>/mounts/<id>/mount.json   an ImageMount; written before anything is mounted, removed after all is unmounted
 *     <store>/mounts/<id>/points/…     the lowest layer: only the directory that a volume is mounted on
 *
 * The loop device of a volume clears itself when the volume is unmounted (mount -o loop sets LO_FLAGS_AUTOCLEAR), so the
 * mount point alone is what has to be found again.
 */
export function hostImageMounts(store: Store): ImageMounts {
  return {
    list: () => listMounts(store),
    mount: (request) => mount(store, request),
    unmount: (record) => unmount(store, record),
  };
}

function listMounts(store: Store): readonly MountState[] {
  const points = new Set(mountPoints().map(({ path }) => path));
  return namesIn(store.path("mounts")).flatMap((id): readonly MountState[] => {
    const record = store.readNote(`mounts/${id}/mount.json`) as ImageMount | undefined;
    return typeof record?.directory === "string" && Array.isArray(record.source?.diffs)
      ? [{ ...record, id, mounted: points.has(record.directory) }]
      : [];
  });
}

async function mount(store: Store, request: Omit<ImageMount, "id" | "madeDirectory">): Promise<ImageMount> {
  if (process.getuid?.() !== 0) throw new BakehouseError("SETUP_INCOMPLETE", "Mounting an image needs root", { hint: "run it with sudo" });
  const { source } = request;
  const place = preparePlace(request.directory, store.root);
  const record: ImageMount = { ...request, id: randomBytes(4).toString("hex"), directory: place.directory, madeDirectory: place.made };
  const folder = store.path("mounts", record.id);
  const points = join(folder, "points");
  mkdirSync(`${points}${source.volume?.path ?? ""}`, { recursive: true });
  store.writeNote(`mounts/${record.id}/mount.json`, record);
  try {
    const lowers = [...overlayLowers(source.diffs).map((diff) => store.diffs.name(diff)), `../mounts/${record.id}/points`];
    await run(["mount", "-t", "overlay", "-o", `ro,lowerdir=${lowers.join(":")}`, "overlay", record.directory], store.path("diffs"));
    if (source.volume !== undefined)
      await run(
        [
          "mount",
          "-t",
          "erofs",
          "-o",
          "ro,loop,nodev",
          store.blobs.path(source.volume.blob),
          hostImageRoot(record.directory).resolve(source.volume.path),
        ],
        "/",
      );
  } catch (error) {
    await unmount(store, record);
    throw error;
  }
  return record;
}

/** An empty directory, made if need be. Mounting over somebody's files would hide them. */
function preparePlace(directory: string, storeRoot: string): { readonly directory: string; readonly made: boolean } {
  const stats = statSync(directory, { throwIfNoEntry: false });
  if (stats === undefined) {
    const parent = dirname(directory);
    if (statSync(parent, { throwIfNoEntry: false })?.isDirectory() !== true)
      throw new BakehouseError("INPUT_INVALID", `${parent} is not there, so ${basename(directory)} cannot be made in it`, {
        hint: `mkdir -p ${parent}`,
      });
    const real = join(realpathSync(parent), basename(directory));
    refuseStore(real, storeRoot);
    mkdirSync(real);
    return { directory: real, made: true };
  }
  if (!stats.isDirectory())
    throw new BakehouseError("INPUT_INVALID", `${directory} is not a directory`, { hint: "name an empty or new directory" });
  const real = realpathSync(directory);
  refuseStore(real, storeRoot);
  if (mountPoints().some(({ path }) => path === real))
    throw new BakehouseError("INPUT_INVALID", `Something is mounted at ${directory} already`, {
      hint: `bakehouse image unmount ${directory}`,
    });
  if (readdirSync(real).length > 0)
    throw new BakehouseError("INPUT_INVALID", `${directory} is not empty; its files would be out of sight`, {
      hint: "name an empty or new directory",
    });
  return { directory: real, made: false };
}

function refuseStore(directory: string, storeRoot: string): void {
  if (!`${directory}/`.startsWith(`${realpathSync(storeRoot)}/`)) return;
  throw new BakehouseError("INPUT_INVALID", `${directory} lies inside the store`, { hint: "name a directory elsewhere" });
}

async function unmount(store: Store, record: ImageMount): Promise<void> {
  const { directory } = record;
  // the volume first: it lies in the tree
  const ours = mountPoints().filter(
    ({ path, type }) => (path === directory && type === "overlay") || (path.startsWith(`${directory}/`) && type === "erofs"),
  );
  for (const { path } of ours.reverse()) await run(["umount", path], "/");
  if (record.madeDirectory) removeEmpty(record.directory);
  rmSync(store.path("mounts", record.id), { recursive: true, force: true });
}

/** The user may have put something there since, or removed it. */
function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOTEMPTY" && code !== "ENOENT" && code !== "EBUSY") throw error;
  }
}

/** @throws RESOURCE_BUSY when something still uses the mount */
function run(argv: readonly [string, ...string[]], folder: string): Promise<void> {
  const [program, ...words] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, words, {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    });
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve();
      else if (/busy/.test(complaint))
        reject(
          new BakehouseError("RESOURCE_BUSY", `${argv.at(-1) ?? ""} is in use: ${complaint.trim()}`, {
            hint: `fuser -vm ${argv.at(-1) ?? ""}   (shows who uses it)`,
          }),
        );
      else reject(new Error(`${argv.join(" ")}: ${complaint.trim()}`));
    });
  });
}
