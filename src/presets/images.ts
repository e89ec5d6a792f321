import type { DiffId } from "../core/digest.ts";
import { VERSION } from "../core/version.ts";
import type { ExportImageParts } from "../engine/export-image.ts";
import { imagesFromStore } from "../engine/images-from-store.ts";
import type { ImageMachineParts } from "../engine/image-machine.ts";
import type { ListImagesParts } from "../engine/list-images.ts";
import type { OpenShellParts } from "../engine/open-shell.ts";
import type { WritePapersParts } from "../engine/write-papers.ts";
import type { BootParts } from "../ports/boot-parts.ts";
import type { BakeLogs } from "../ports/bake-logs.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { Cells } from "../ports/cells.ts";
import type { Clock } from "../ports/host.ts";
import type { ImageExports } from "../ports/image-exports.ts";
import type { ImageImports } from "../ports/image-imports.ts";
import type { ImageMounts } from "../ports/image-mounts.ts";
import type { ImageTrees } from "../ports/image-trees.ts";
import type { Keys } from "../ports/keys.ts";
import type { Papers } from "../ports/papers.ts";
import type { StoreContents } from "../ports/store-contents.ts";
import type { Store } from "../ports/store.ts";
import { openLocalStore } from "../adapters/local-store/local-store.ts";
import { readImageSizes } from "../adapters/sqlite-catalog/read-image-sizes.ts";

export interface ImagePartsOptions {
  /** Folder of the store; made when it is not there. */
  readonly store: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly warn?: (message: string) => void;
}

/** What the commands about images and the store need, each part loaded when it is asked for. */
export interface ImageParts extends Pick<ListImagesParts, "indexed"> {
  readonly store: Store;
  readonly clock: Clock;
  /** `user@host`. */
  baker(): Promise<string>;
  readonly tool: string;
  catalog(): Promise<Catalog>;
  trees(): Promise<ImageTrees>;
  mounts(): Promise<ImageMounts>;
  exports(): Promise<ImageExports>;
  /** What `exportImage` needs. */
  exporting(): Promise<ExportImageParts>;
  /** Kernel and initrd of an image. */
  bootParts(): Promise<BootParts>;
  /** What starts virtual machines from images. */
  imageMachines(): Promise<ImageMachineParts>;
  imports(): Promise<ImageImports>;
  keys(): Promise<Keys>;
  papers(): Promise<Papers>;
  /** What writing papers needs. */
  paperParts(): Promise<WritePapersParts>;
  contents(): Promise<StoreContents>;
  logs(): Promise<BakeLogs>;
  shells(): Promise<OpenShellParts>;
  cells(): Promise<Cells>;
  close(): Promise<void>;
}

/**
 * The parts for everything about images and the store after a bake. Unlike `embedded`, it loads no step, no sandbox and no
 * kysely before one of them is used: listing images should take no longer than starting.
 */
export function openImages(options: ImagePartsOptions): ImageParts {
  let releaseSteps = (_workFolder: string): void => undefined;
  const store = openLocalStore(options.store, { onTidy: (folder) => releaseSteps(folder) });
  const later = lazily();
  const diffs = later(async () => (await import("../adapters/overlay-diffs/index.ts")).overlayDiffs());
  const trees = later(async () => (await import("../adapters/image-trees/index.ts")).localImageTrees(store));
  const catalog = later(() => openCatalog(store, options));
  const exports = later(async () => (await import("../adapters/image-export/index.ts")).localImageExports(store));
  const bootParts = later(async () => (await import("../adapters/boot-parts/index.ts")).localBootParts());
  const exporting = later(async () => {
    const { storedContents, localDiskImages } = await import("../adapters/artifacts/index.ts");
    const disks = localDiskImages(await bootParts());
    return { store, trees: await trees(), exports: await exports(), contents: storedContents(store), disks };
  });
  const clock: Clock = { now: () => new Date(), elapsedMs: () => performance.now() };
  const baker = later(async () => (await import("../adapters/local-host/clock.ts")).currentBaker());
  const keys = later(async () => {
    const givenKey = (options.env ?? process.env)["BAKEHOUSE_KEY"];
    const { localKeys } = await import("../adapters/local-keys/index.ts");
    return localKeys({ store, clock, owner: await baker(), ...(givenKey === undefined ? {} : { givenKey }) });
  });
  const papers = later(async () => (await import("../adapters/local-papers/index.ts")).localPapers({ store, keys: await keys(), clock }));
  return {
    store,
    clock,
    baker,
    tool: `bakehouse ${VERSION}`,
    indexed: () => readImageSizes(store.path("catalog.db")),
    catalog,
    trees,
    mounts: later(async () => (await import("../adapters/image-mount/index.ts")).hostImageMounts(store)),
    exports,
    exporting,
    bootParts,
    imageMachines: later(async () => (await import("./image-machines.ts")).imageMachineParts(await exporting(), await bootParts())),
    imports: later(async () => (await import("../adapters/image-import/index.ts")).localImageImports(store, await diffs())),
    keys,
    papers,
    paperParts: later(async () => ({ store, papers: await papers(), trees: await trees(), tool: `bakehouse ${VERSION}`, sha1: sha1Of })),
    contents: later(async () => {
      // whoever looks at the contents may tidy: the cgroups of killed steps go then, too
      releaseSteps = (await import("../adapters/sandbox/cgroups.ts")).removeCgroupsOfSteps;
      return (await import("../adapters/store-contents/index.ts")).localStoreContents(store);
    }),
    logs: later(async () => (await import("../adapters/local-host/bake-logs.ts")).bakeLogs(store.path("logs"))),
    shells: later(async () => shellParts(store, await trees())),
    cells: later(async () => (await import("../adapters/cells/index.ts")).localCells(store, await trees())),
    close: async () => {
      await catalog.opened()?.then(
        (opened) => opened.close(),
        () => undefined,
      );
      store.close();
    },
  };
}

/** node:crypto takes some milliseconds to load: only when it is needed. */
const sha1Of = (text: string): string => process.getBuiltinModule("node:crypto").createHash("sha1").update(text).digest("hex");

type Later<T> = (() => Promise<T>) & { opened(): Promise<T> | undefined };

/** Makes functions that make a part once, when it is first asked for. */
function lazily(): <T>(make: () => Promise<T>) => Later<T> {
  return <T>(make: () => Promise<T>): Later<T> => {
    let made: Promise<T> | undefined;
    return Object.assign(() => (made ??= make()), { opened: () => made });
  };
}

async function openCatalog(store: Store, options: ImagePartsOptions): Promise<Catalog> {
  const { openSqliteCatalog } = await import("../adapters/sqlite-catalog/sqlite-catalog.ts");
  const { isAlive, thisProcess } = await import("../adapters/local-store/owners.ts");
  const { AUDIT_MIRROR, auditMirror } = await import("../adapters/sqlite-catalog/audit-mirror.ts");
  const { crashAt } = await import("../adapters/local-host/crash-at.ts");
  return openSqliteCatalog(store.path("catalog.db"), {
    rebuildFrom: () => imagesFromStore(store),
    owner: thisProcess("images"),
    isAlive,
    mirror: auditMirror(store.path(AUDIT_MIRROR)),
    reach: crashAt(process.env["BAKEHOUSE_CRASH_AT"]),
    readOnly: store.readOnly,
    warn: (message) => options.warn?.(message),
  });
}

async function shellParts(store: Store, trees: ImageTrees): Promise<OpenShellParts> {
  const { overlayWorkspaces } = await import("../adapters/sandbox/overlay-workspaces.ts");
  const { newBakeId } = await import("../adapters/local-host/clock.ts");
  const { runInteractive } = await import("../adapters/local-host/run-interactive.ts");
  const { mountInWorkspace } = await import("../adapters/image-mount/index.ts");
  return {
    store,
    trees,
    workspaces: overlayWorkspaces({ diffs: store.path("diffs"), diffName: (diff: DiffId) => store.diffs.name(diff) }),
    mountVolume: (workspace, volume) => mountInWorkspace(workspace, store.blobs.path(volume.blob), volume.path),
    runInteractive,
    newId: () => `shell-${newBakeId(new Date())}`,
  };
}
