import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Sha256 } from "../core/digest.ts";
import { hexOf } from "../core/digest.ts";
import type { LockedStep } from "../core/lock/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { StepServices } from "../core/step.ts";
import { BUILD, VERSION } from "../core/version.ts";
import { bindSteps, type BoundStep } from "../engine/bound-recipe.ts";
import { imagesFromStore } from "../engine/images-from-store.ts";
import { foundationOf } from "../engine/package-sources.ts";
import type { EngineParts } from "../engine/parts.ts";
import type { WritePapersParts } from "../engine/write-papers.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { Cells } from "../ports/cells.ts";
import type { FoundationInstaller } from "../ports/foundation-installer.ts";
import type { NetworkRecorder } from "../ports/network-recorder.ts";
import type { PackageResolver } from "../ports/package-resolver.ts";
import type { Transfer } from "../ports/transfer.ts";
import type { OciSource } from "../ports/oci-source.ts";
import type { PackageStore } from "../ports/package-store.ts";
import type { PackageDownloader } from "../ports/package-downloader.ts";
import type { Store } from "../ports/store.ts";
import type { Workspace } from "../ports/workspaces.ts";
import { openBakeLog } from "../adapters/local-host/bake-log.ts";
import { hostAnsibleVersion } from "../adapters/local-host/ansible-version.ts";
import { currentBaker, newBakeId, systemClock } from "../adapters/local-host/clock.ts";
import { crashAt } from "../adapters/local-host/crash-at.ts";
import { AUDIT_MIRROR, auditMirror } from "../adapters/sqlite-catalog/audit-mirror.ts";
import { hostSecrets } from "../adapters/local-host/secret-source.ts";
import { launchPayloads } from "../adapters/launch-payload/index.ts";
import { localKeys } from "../adapters/local-keys/index.ts";
import { localPapers } from "../adapters/local-papers/index.ts";
import { openLocalStore } from "../adapters/local-store/local-store.ts";
import { dropIdleWhiteouts, lowerLookup, lowerReader, pathsOutside } from "../adapters/local-store/lower-lookup.ts";
import { isAlive, thisProcess } from "../adapters/local-store/owners.ts";
import { hashInputs, openStatCache, recipeInputs } from "../adapters/recipe-inputs/index.ts";
import { removeCgroupsOfSteps } from "../adapters/sandbox/cgroups.ts";
import { overlayWorkspaces } from "../adapters/sandbox/overlay-workspaces.ts";
import { launchHook } from "../core/launch/launch-hook.ts";
import { steps as ofRecipes } from "../steps/registry.ts";

/** Those that a recipe can name, and what `cake: software` adds. */
const steps = new Map([...ofRecipes, [launchHook.id, launchHook]]);

export interface EmbeddedOptions {
  /** Folder of the store; made when it is not there. */
  readonly store: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly warn?: (message: string) => void;
}

/** Parts of the engine together with what `lock` needs. */
export interface EmbeddedParts extends EngineParts {
  readonly resolver: () => Promise<PackageResolver>;
  readonly downloader: () => Promise<PackageDownloader>;
  readonly packageStore: () => Promise<PackageStore>;
  readonly ociSource: () => Promise<OciSource>;
  readonly cells: () => Promise<Cells>;
  /** What writing papers needs, for right after a bake. */
  readonly paperParts: () => Promise<WritePapersParts>;
  close(): Promise<void>;
}

/**
 * Everything on one machine, in one process: SQLite, local blobs, overlayfs. What only a bake needs is imported when it
 * is used, so that listing images or finding that nothing changed stays quick.
 */
export function embedded(options: EmbeddedOptions): EmbeddedParts {
  const env = options.env ?? process.env;
  const store = openLocalStore(options.store, { onTidy: removeCgroupsOfSteps });
  const statCache = openStatCache(store.path("stat-cache.json"));
  const packages = lazy(async () => (await import("../adapters/local-package-store/index.ts")).localPackageStore(store.path("packages")));
  const transfer = lazy(async () => (await import("../adapters/local-package-store/index.ts")).createTransfer({ environment: env }));
  const resolver = lazy(async () => {
    const { aptResolver } = await import("../adapters/apt-resolver/index.ts");
    return aptResolver({ folder: store.path("apt"), packageStore: await packages(), transfer: await transfer(), environment: env });
  });
  const downloader = lazy(async () =>
    (await import("../adapters/local-package-store/index.ts")).packageDownloader(await packages(), await transfer()),
  );
  const ociSource = lazy(async () =>
    (await import("../adapters/oci-source/index.ts")).ociSource({ folder: store.path("downloads", "oci") }),
  );
  const diffs = lazy(async () => (await import("../adapters/overlay-diffs/index.ts")).overlayDiffs());
  const installers = lazy(() => import("../adapters/debian-installer/index.ts"));
  const installer = (name: "own" | "mmdebstrap"): FoundationInstaller => {
    const made = async (): Promise<FoundationInstaller> =>
      name === "own" ? (await installers()).ownInstaller() : (await installers()).mmdebstrapInstaller();
    return { install: async (request) => (await made()).install(request), add: async (request) => (await made()).add(request) };
  };
  let catalog: Catalog | undefined;
  const baker = currentBaker();
  const keys = localKeys({ store, clock: systemClock, owner: baker, ...givenKey(env) });
  const papers = localPapers({ store, keys, clock: systemClock });
  return {
    store,
    keys,
    papers,
    workspaces: overlayWorkspaces({ diffs: store.path("diffs"), diffName: (diff) => store.diffs.name(diff) }),
    diffs: {
      normalise: async (...args) => (await diffs()).normalise(...args),
      write: async (...args) => (await diffs()).write(...args),
      unpack: async (...args) => (await diffs()).unpack(...args),
    },
    steps,
    hasher: {
      hash: (folder, requests) => hashInputs(folder, requests, statCache),
      inputs: (folder, requests) => recipeInputs(folder, requests),
      toolVersion: hostAnsibleVersion,
      digestOf: (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`,
      save: () => (store.readOnly ? undefined : statCache.save()),
    },
    clock: systemClock,
    baker,
    tool: `bakehouse ${VERSION}`,
    ...(BUILD === undefined ? {} : { build: BUILD }),
    reach: crashAt(env["BAKEHOUSE_CRASH_AT"]),
    installers: { own: installer("own"), mmdebstrap: installer("mmdebstrap") },
    catalog: () => (catalog ??= lazyCatalog(store, options, crashAt(env["BAKEHOUSE_CRASH_AT"]))),
    secrets: (recipe) => hostSecrets(recipe, env),
    openLog: (bake) => openBakeLog(store.path("logs"), bake),
    newBakeId: () => newBakeId(new Date()),
    stepFiles: (bound, recipe, locked, workspace, signal) => stepFiles(store, bound, recipe, locked, workspace, signal),
    dropIdleWhiteouts,
    lentFolder: (digest) => join(store.path("lent"), hexOf(digest).slice(0, 16)),
    fetchMissing: (needed, recipe, fetching) => fetchMissing(store, { resolver, downloader, transfer }, needed, recipe, fetching),
    lowerLookup: (below) => lowerLookup(below.map((diff) => store.diffs.folder(diff))),
    readLower: (below) => lowerReader(below.map((diff) => store.diffs.folder(diff))),
    findSecrets: async (directory, secrets) =>
      (await import("../adapters/secret-scan/index.ts")).scanForSecrets(
        directory,
        [...secrets].map(([name, value]) => ({ name, value })),
      ),
    maskSecrets: async (secrets) =>
      secrets.size === 0
        ? (line) => line
        : (await import("../adapters/secret-scan/index.ts")).maskSecrets([...secrets].map(([name, value]) => ({ name, value }))),
    buildVolume,
    pathsOutside,
    network: lazyNetwork(store),
    payloads: launchPayloads(),
    mirrors: async (recipe) => {
      const { namedMirrors } = await import("./named-mirrors.ts");
      return namedMirrors(await resolver(), recipe, bindSteps(recipe, steps));
    },
    resolver,
    downloader,
    packageStore: packages,
    ociSource,
    cells: lazy(async () => {
      const { localImageTrees } = await import("../adapters/image-trees/index.ts");
      return (await import("../adapters/cells/index.ts")).localCells(store, localImageTrees(store));
    }),
    paperParts: lazy(async () => ({
      store,
      papers,
      trees: (await import("../adapters/image-trees/index.ts")).localImageTrees(store),
      tool: `bakehouse ${VERSION}`,
      sha1: (text) => createHash("sha1").update(text).digest("hex"),
    })),
    close: async () => {
      await catalog?.close();
      store.close();
    },
  };
}

const givenKey = (env: NonNullable<EmbeddedOptions["env"]>): { readonly givenKey?: string } => {
  const path = env["BAKEHOUSE_KEY"];
  return path === undefined ? {} : { givenKey: path };
};

/** Made once, when first asked for. */
function lazy<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** kysely is only loaded when the catalog is asked something. */
function lazyCatalog(store: Store, options: EmbeddedOptions, reach: ReachPoint): Catalog {
  let opened: Promise<Catalog> | undefined;
  const open = (): Promise<Catalog> =>
    (opened ??= import("../adapters/sqlite-catalog/sqlite-catalog.ts").then(({ openSqliteCatalog }) =>
      openSqliteCatalog(store.path("catalog.db"), {
        rebuildFrom: () => imagesFromStore(store),
        owner: thisProcess("bake"),
        isAlive,
        mirror: auditMirror(store.path(AUDIT_MIRROR)),
        reach,
        readOnly: store.readOnly,
        warn: (message) => options.warn?.(message),
      }),
    ));
  return {
    startBake: async (...args) => (await open()).startBake(...args),
    endBake: async (...args) => (await open()).endBake(...args),
    bakes: async (...args) => (await open()).bakes(...args),
    bake: async (...args) => (await open()).bake(...args),
    putImages: async (...args) => (await open()).putImages(...args),
    removeImages: async (...args) => (await open()).removeImages(...args),
    images: async () => (await open()).images(),
    ledger: {
      head: async () => (await open()).ledger.head(),
      channels: async () => (await open()).ledger.channels(),
      moves: async (...args) => (await open()).ledger.moves(...args),
      approvals: async (...args) => (await open()).ledger.approvals(...args),
      revocations: async () => (await open()).ledger.revocations(),
      policy: async (...args) => (await open()).ledger.policy(...args),
      append: async (...args) => (await open()).ledger.append(...args),
      records: async () => (await open()).ledger.records(),
      verify: async () => (await open()).ledger.verify(),
    },
    cycles: lazyObject(CYCLE_RECORDS, async () => (await open()).cycles),
    notices: lazyObject(NOTICE_LOG, async () => (await open()).notices),
    close: async () => (opened === undefined ? undefined : (await opened).close()),
  };
}

const CYCLE_RECORDS = ["known", "find", "save", "begin", "takeOver", "pause", "startStage", "endStage", "end", "stages", "runs"] as const;
const NOTICE_LOG = ["add", "pending", "settle", "lastId", "list"] as const;

type Method = (...args: never[]) => Promise<unknown>;

/** An object whose methods wait until the real one is there. */
function lazyObject<T extends { readonly [Name in keyof T]: Method }>(names: readonly (keyof T)[], get: () => Promise<T>): T {
  return Object.fromEntries(names.map((name) => [name, async (...args: never[]) => (await get())[name](...args)])) as unknown as T;
}

function lazyNetwork(store: Store): NetworkRecorder {
  const open = lazy(async () =>
    (await import("../adapters/network-recorder/index.ts")).networkRecorder({ folder: store.path("recorded") }),
  );
  return {
    record: async (request) => (await open()).record(request),
    replay: async (request, responses) => (await open()).replay(request, responses),
  };
}

type FileServices = Omit<StepServices, "root" | "sandbox" | "inputs" | "secrets" | "installer">;

async function stepFiles(
  store: Store,
  bound: BoundStep,
  recipe: Recipe,
  locked: LockedStep | undefined,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<FileServices> {
  const { localPackageStore } = await import("../adapters/local-package-store/package-store.ts");
  const { packageSet } = await import("../adapters/local-package-store/package-set.ts");
  const { archives } = await import("../adapters/overlay-diffs/index.ts");
  const packageStore = localPackageStore(store.path("packages"));
  const work = dirname(workspace.upper);
  return {
    packages: packageSet(packageStore, locked?.packages ?? [], join(work, "packages")),
    downloads: { file: (sha256) => downloadPath(store, sha256) },
    archives: archives(workspace.root, signal),
    disks: {
      copyTree: async (hostPath, choice) =>
        (await import("../adapters/disks/index.ts")).diskReader(workspace.root, join(work, "disk"), signal).copyTree(hostPath, choice),
    },
    lent: await lentTools(store, packageStore, locked, work, signal),
    oci: await lockedImage(store, bound, recipe, locked),
    ansible: await ansible(work),
  };
}

const downloadPath = (store: Store, sha256: Sha256): string => store.path("downloads", hexOf(sha256));

/** A file whose bytes are no longer those of its name is fetched again. */
const isDownloaded = (store: Store, sha256: Sha256): boolean =>
  existsSync(downloadPath(store, sha256)) && hashFile(downloadPath(store, sha256)) === sha256;

async function lentTools(
  store: Store,
  packageStore: PackageStore,
  locked: LockedStep | undefined,
  work: string,
  signal: AbortSignal,
): Promise<FileServices["lent"]> {
  if (locked?.lent === undefined || locked.lent.length === 0) return { digest: undefined, hostPath: undefined };
  const { packageSet } = await import("../adapters/local-package-store/package-set.ts");
  const { extractLentTools } = await import("../adapters/lent-tools/index.ts");
  return extractLentTools({
    folder: store.path("lent"),
    packages: packageSet(packageStore, locked.lent, join(work, "lent")).files,
    signal,
  });
}

async function lockedImage(store: Store, bound: BoundStep, recipe: Recipe, locked: LockedStep | undefined): Promise<FileServices["oci"]> {
  const { image } = bound.requirements;
  if (image === undefined || locked?.image === undefined) return { digest: `sha256:${"0".repeat(64)}`, layers: async () => [] };
  const { digest } = locked.image;
  const { ociSource } = await import("../adapters/oci-source/index.ts");
  const source = ociSource({ folder: store.path("downloads", "oci") });
  return { digest, layers: () => source.layers(image, recipe.folder, digest) };
}

async function ansible(work: string): Promise<FileServices["ansible"]> {
  const { ansibleRunner } = await import("../adapters/ansible/index.ts");
  return ansibleRunner({
    scratchFolder: () => {
      mkdirSync(join(work, "ansible"), { recursive: true });
      return join(work, "ansible");
    },
  });
}

interface Fetchers {
  readonly resolver: () => Promise<PackageResolver>;
  readonly downloader: () => Promise<PackageDownloader>;
  readonly transfer: () => Promise<Transfer>;
}

type Needed = Parameters<EngineParts["fetchMissing"]>[0];

const needsBytes = ({ bound, locked }: Needed[number]): boolean =>
  [locked?.packages, locked?.lent, bound.requirements.downloads].some((list) => list !== undefined && list.length > 0);

async function fetchMissing(
  store: Store,
  fetchers: Fetchers,
  needed: Needed,
  recipe: Recipe,
  options: Parameters<EngineParts["fetchMissing"]>[2],
): Promise<{ readonly count: number; readonly totalBytes: number }> {
  if (!needed.some(needsBytes)) return { count: 0, totalBytes: 0 };
  const { localPackageStore } = await import("../adapters/local-package-store/package-store.ts");
  const packageStore = localPackageStore(store.path("packages"));
  const missing = needed.flatMap(({ bound, locked }) =>
    [...(locked?.packages ?? []), ...(locked?.lent ?? [])]
      .filter((item) => item.repository !== "local" && packageStore.findVerified(item.sha256) === undefined)
      .map((item) => ({ bound, item })),
  );
  if (missing.length > 0) {
    const resolver = await fetchers.resolver();
    const downloads = missing.map(({ bound, item }) => {
      const foundation = foundationOf(recipe, bound, steps);
      const [urls = []] = resolver.locate(
        { repositories: recipe.repositories, folder: recipe.folder, ...(foundation === undefined ? {} : { foundation }) },
        [item],
      );
      return { package: item, urls };
    });
    await (await fetchers.downloader()).fetch(downloads, { signal: options.signal, onProgress: options.progress });
  }
  const local = needed.flatMap(({ bound, locked }) =>
    (locked?.packages ?? []).filter((item) => item.repository === "local").map((item) => ({ bound, item })),
  );
  for (const { item } of local)
    if (packageStore.findVerified(item.sha256) === undefined) await packageStore.add(join(recipe.folder, item.path), item.sha256);
  const files = needed
    .flatMap(({ bound }) => bound.requirements.downloads ?? [])
    .filter((download) => !isDownloaded(store, download.sha256));
  for (const download of files) {
    mkdirSync(store.path("downloads"), { recursive: true });
    const target = `${downloadPath(store, download.sha256)}.part-${process.pid}`;
    const transfer = await fetchers.transfer();
    await transfer.download({
      urls: [download.url],
      target,
      what: download.url,
      expected: { sha256: download.sha256 },
      signal: options.signal,
    });
    const { adopt } = await import("../adapters/local-store/files.ts");
    adopt(target, downloadPath(store, download.sha256));
  }
  return { count: missing.length + files.length, totalBytes: missing.reduce((sum, { item }) => sum + item.sizeBytes, 0) };
}

/** Any constant: a volume is named by its digest, and nothing mounts it by UUID. */
const VOLUME_UUID = "9f1f4a1c-6f0e-4a53-9d0a-62616b656800";

/** Every file of a volume carries the one time of its epoch: what a file's own time would be depends on how the app was checked out. */
const buildVolume: EngineParts["buildVolume"] = async (directory, target, { epochSeconds, signal }) => {
  const { buildErofs, runProgram, withoutOverlayMarks } = await import("../adapters/overlay-diffs/index.ts");
  mkdirSync(directory, { recursive: true });
  await withoutOverlayMarks(directory, signal);
  rmSync(target, { force: true });
  await buildErofs({ directory, target, epochSeconds, uuid: VOLUME_UUID, signal, oneTime: true });
  // Beside the hashing, on the other processor: thousands of files take as long to go as their image takes to be read.
  const removed = runProgram(["rm", "-rf", "--one-file-system", directory]);
  try {
    return { digest: hashFile(target), sizeBytes: statSync(target).size };
  } finally {
    await removed;
  }
};

function hashFile(path: string): Sha256 {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(4 * 1024 * 1024);
  const file = openSync(path, "r");
  try {
    for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) hash.update(buffer.subarray(0, count));
  } finally {
    closeSync(file);
  }
  return `sha256:${hash.digest("hex")}`;
}
