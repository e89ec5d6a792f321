import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { FABRIC } from "../../core/cell/fabric.ts";
import { BakehouseError } from "../../core/errors.ts";
import { didYouMean } from "../../core/text/did-you-mean.ts";
import { overlayLowers } from "../../core/layer/overlay-lowers.ts";
import type { Cell, CellRequest, Cells, Serve } from "../../ports/cells.ts";
import type { ImageTrees } from "../../ports/image-trees.ts";
import type { Store } from "../../ports/store.ts";
import { makeFolder } from "../local-store/files.ts";
import { thisProcess } from "../local-store/owners.ts";
import { cellOf } from "./cell.ts";
import { cellsWithIdleCgroups, makeCgroups, removeCgroups } from "./cgroups.ts";
import { makeRoomForCells, restoreLimit } from "./inotify-limit.ts";
import { credentialPath, keeperRoot, startKeeper, type StartedKeeper } from "./keeper.ts";
import { hasSystemd, writeJournalSettings, writeNetworkSettings } from "./machine-settings.ts";
import {
  cellFolderOf,
  cellFolders,
  cellsWithoutRecord,
  isHeld,
  removeCellFolder,
  stateOf,
  uptimeSeconds,
  writeKeeper,
  writeRecord,
  type CellFolder,
  type CellRecord,
} from "./records.ts";
import { release } from "./release.ts";

/** Cells of this host, by systemd-nspawn. Each is held by a keeper (`keeper/keeper.pl`) and described in the store (`records.ts`). */
export function localCells(store: Store, trees: Pick<ImageTrees, "ensureUnpacked">): Cells {
  return {
    start: (request, signal) => start(store, trees, request, signal),
    list: () => cellFolders(store).map(stateOf),
    all: () => cellFolders(store).map((cell) => cellOf(store, cell)),
    find: (reference) => cellOf(store, find(store, reference)),
    tidy: () => tidy(store),
  };
}

async function start(store: Store, trees: Pick<ImageTrees, "ensureUnpacked">, request: CellRequest, signal: AbortSignal): Promise<Cell> {
  if (process.getuid?.() !== 0) throw new BakehouseError("SETUP_INCOMPLETE", "Starting a cell needs root", { hint: "run it with sudo" });
  if (store.readOnly)
    throw new BakehouseError("STORE_READ_ONLY", `The store ${store.root} cannot be written to, and a cell is recorded in it`, {
      hint: "copy the store, or run as a user who may write there",
    });
  if (`${realpathSync(store.root)}/`.startsWith("/run/"))
    throw new BakehouseError("SETUP_INCOMPLETE", `A cell covers /run, and the store ${store.root} lies there`, {
      hint: "use a store elsewhere: --store DIR",
    });
  const listeners = await listen(request.publish);
  try {
    const cell = await store.withLock("cells", { signal }, () => Promise.resolve(record(store, request)));
    try {
      await trees.ensureUnpacked(request.source.diffs);
      signal.throwIfAborted();
      return await boot(store, cell, request, listeners, signal);
    } catch (error) {
      await release(cell);
      removeCellFolder(store, cell.record.id);
      throw error;
    }
  } finally {
    for (const listener of listeners) listener.close(); // the keeper has its own descriptors of them
  }
}

/** The ports that the keeper takes over. Taken first: somebody else's port should not cost a start. */
async function listen(publish: CellRequest["publish"]): Promise<readonly Server[]> {
  const servers: Server[] = [];
  try {
    for (const { hostPort } of publish) servers.push(await listenOn(hostPort));
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return servers;
}

function listenOn(port: number): Promise<Server> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        error.code === "EADDRINUSE" || error.code === "EACCES"
          ? new BakehouseError("RESOURCE_BUSY", `Port ${port} of this machine is ${error.code === "EACCES" ? "not allowed" : "in use"}`, {
              hint: `publish another: --publish ${port + 1000 > 65_535 ? port - 1000 : port + 1000}:80; \`ss -tlnp sport = :${port}\` shows who has it`,
            })
          : error,
      ),
    );
    server.listen({ host: "127.0.0.1", port }, () => resolve(server));
  });
}

/** Writes down what is going to be made. */
function record(store: Store, request: CellRequest): CellFolder {
  const taken = cellFolders(store).filter(isHeld);
  const id = randomBytes(4).toString("hex");
  const name = request.name ?? `${nameFor(request.image.name)}-${id.slice(0, 4)}`;
  checkName(name, request.name);
  if (taken.some((cell) => cell.record.name === name))
    throw new BakehouseError("RESOURCE_BUSY", `There is a cell called ${name} already`, {
      hint: `bakehouse stop ${name}, or another name: --name`,
    });
  for (const gone of cellFolders(store)) if (gone.record.name === name && !isHeld(gone)) removeCellFolder(store, gone.record.id);
  const cell: CellRecord = {
    id,
    name,
    image: request.image,
    source: request.source,
    purpose: request.purpose,
    publish: request.publish,
    address: FABRIC.cell,
    startedAt: new Date().toISOString(),
    startedUptime: uptimeSeconds(),
    owner: thisProcess("starts a cell"),
  };
  const folder = cellFolderOf(store, id);
  makeFolder(store.path("cells"));
  chmodSync(store.path("cells"), 0o700); // what machines are given at launch may be secret
  mkdirSync(folder);
  writeRecord(store, cell);
  return { folder, record: cell };
}

const nameFor = (image: string): string =>
  image
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 40) || "cell";

/** It becomes the machine's host name (hostname(7): letters, digits, hyphens; 64 on Linux). */
function checkName(name: string, given: string | undefined): void {
  if (/^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$/.test(name)) return;
  throw new BakehouseError("INPUT_INVALID", `${JSON.stringify(given ?? name)} cannot be the name of a cell: it becomes a host name`, {
    hint: `lower-case letters, digits and hyphens, such as ${nameFor(name)}`,
  });
}

async function boot(
  store: Store,
  cell: CellFolder,
  request: CellRequest,
  listeners: readonly Server[],
  signal: AbortSignal,
): Promise<Cell> {
  const { id, name } = cell.record;
  const cgroups = makeCgroups(id);
  makeRoomForCells();
  const keeper = await startKeeper({
    folder: cell.folder,
    diffs: store.path("diffs"),
    lowers: overlayLowers(request.source.diffs).map((diff) => store.diffs.name(diff)),
    machine: name,
    cgroups,
    publish: listeners.map((server, index) => ({ server, cellPort: request.publish[index]?.cellPort ?? 0 })),
    serve: (request.serve ?? []).map(({ port }) => ({ port, path: servePath(port) })),
    credentials: Object.keys(request.credentials ?? {}),
    diesWithUs: request.purpose === "check",
  }).catch((error: unknown) => {
    throw new BakehouseError(
      "CELL_FAILED",
      `Cell ${name} cannot be started: ${(error as Error).message}`,
      { hint: "bakehouse doctor" },
      error,
    );
  });
  try {
    writeKeeper(store, id, keeper.owner);
    signal.throwIfAborted();
    prepare(keeper, request);
    const hangUp = await answer(keeper.owner.pid, request.serve ?? []);
    const { volume } = request.source;
    await keeper.boot(volume === undefined ? undefined : { file: store.blobs.path(volume.blob), path: volume.path });
    return cellOf(store, cell, hangUp);
  } catch (error) {
    await keeper.kill();
    throw error;
  }
}

/** What the machine finds beside the image. */
function prepare(keeper: StartedKeeper, request: CellRequest): void {
  if (!hasSystemd(keeper.root))
    throw new BakehouseError("CELL_FAILED", `${request.image.name} has no systemd, so it cannot boot as a machine`, {
      hint: `bake it in: a step \`apt: [systemd, systemd-sysv]\`; \`bakehouse shell ${request.image.name}\` runs programs of it without`,
    });
  writeNetworkSettings(keeper.root);
  writeJournalSettings(keeper.root);
  for (const [path, content] of Object.entries(request.files)) keeper.root.write(path.startsWith("/") ? path : `/${path}`, content);
  for (const [key, content] of Object.entries(request.credentials ?? {}))
    writeFileSync(`${keeperRoot(keeper.owner.pid)}${credentialPath(key)}`, content, { mode: 0o600 });
}

const servePath = (port: number): string => `/run/cell/serve-${port}.sock`;

/** Lets this process answer the machine at the fabric's gateway, from before it boots until it has stopped. */
async function answer(keeperPid: number, serve: readonly Serve[]): Promise<() => void> {
  const servers = serve.map(({ onConnection }) => createServer(onConnection));
  for (const [index, server] of servers.entries()) {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(`${keeperRoot(keeperPid)}${servePath(serve[index]?.port ?? 0)}`, resolve);
    });
    server.unref();
  }
  return () => servers.forEach((server) => void server.close());
}

function find(store: Store, reference: string): CellFolder {
  const cells = cellFolders(store);
  const exact = cells.find(({ record: { id, name } }) => id === reference || name === reference);
  if (exact !== undefined) return exact;
  const begin =
    reference.length < 2 ? [] : cells.filter(({ record: { id, name } }) => id.startsWith(reference) || name.startsWith(reference));
  const [only] = begin;
  if (only !== undefined && begin.length === 1) return only;
  const names = cells.map(({ record: { name } }) => name);
  const near = didYouMean(reference, names);
  throw new BakehouseError(
    "CELL_NOT_FOUND",
    begin.length > 1
      ? `${JSON.stringify(reference)} stands for ${begin.length} cells: ${begin.map(({ record: { id, name } }) => `${name} (${id})`).join(", ")}`
      : `No cell is called ${JSON.stringify(reference)}`,
    { hint: near === undefined ? "bakehouse ps" : `did you mean ${near}? \`bakehouse ps\` shows all` },
  );
}

/** How long the folder of a cell that died by itself is kept for its logs. */
const DEAD_KEPT_MS = 24 * 60 * 60 * 1000;

async function tidy(store: Store): Promise<readonly { readonly kind: string; readonly id: string }[]> {
  const tidied: { kind: string; id: string }[] = [];
  for (const cell of cellFolders(store)) {
    if (isHeld(cell)) continue;
    const { id, purpose, startedAt } = cell.record;
    const released = await release(cell);
    const isKept = purpose === "run" && stateOf(cell).status === "died" && Date.now() - Date.parse(startedAt) < DEAD_KEPT_MS;
    if (!isKept) removeCellFolder(store, id);
    if (released || !isKept) tidied.push({ kind: "cell", id });
  }
  for (const id of cellsWithIdleCgroups()) {
    await removeCgroups(id);
    tidied.push({ kind: "cgroup", id });
  }
  restoreLimit();
  for (const id of cellsWithoutRecord(store)) {
    // made a moment ago, its record is on its way
    if (Date.now() - (statSync(cellFolderOf(store, id), { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) < UNWRITTEN_MS) continue;
    rmSync(cellFolderOf(store, id), { recursive: true, force: true });
    tidied.push({ kind: "cell", id });
  }
  return tidied;
}

/** From the folder to the record it takes less than a millisecond; this is for a machine that stands still in between. */
const UNWRITTEN_MS = 60_000;
