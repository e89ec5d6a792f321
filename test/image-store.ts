import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buildErofs, overlayDiffs } from "../src/adapters/overlay-diffs/index.ts";
import { hashFile } from "../src/adapters/image-trees/index.ts";
import { lowerLookup } from "../src/adapters/local-store/lower-lookup.ts";
import { openLocalStore } from "../src/adapters/local-store/local-store.ts";
import {
  ANNOTATIONS,
  MEDIA_TYPES,
  type Annotations,
  type Descriptor,
  type ImageConfig,
  type ImageManifest,
} from "../src/core/image/oci.ts";
import type { DiffId, ImageDigest, Sha256 } from "../src/core/digest.ts";
import type { Store } from "../src/ports/store.ts";

export const EPOCH_SECONDS = 1_700_000_000;

/** A step that a test made by hand: a function that changes the upper directory. */
export interface FixtureStep {
  readonly address: string;
  readonly change: (upper: string) => void;
  /** When the record says that it was baked. Default now. */
  readonly bakedAt?: string;
}

export interface FixtureImage {
  readonly name: string;
  readonly parent?: ImageDigest;
  readonly steps: readonly FixtureStep[];
  readonly hermetic?: boolean;
  readonly bakedAt?: string;
  readonly annotations?: Annotations;
  readonly config?: ImageConfig["config"];
}

/** A store of our own in a temporary folder, with images made of a few files: what a bake leaves, without a bake. */
export interface FixtureStore {
  readonly folder: string;
  readonly store: Store;
  /** Writes diffs, records, configuration, manifest and index entry as `assembleImage` does. */
  bake(image: FixtureImage): Promise<ImageDigest>;
  bakeVolume(volume: {
    readonly name: string;
    readonly root: ImageDigest;
    readonly path: string;
    readonly change: (directory: string) => void;
    readonly bakedAt?: string;
  }): Promise<ImageDigest>;
  diffsOf(image: ImageDigest): readonly DiffId[];
  remove(): void;
}

export function fixtureStore(): FixtureStore {
  const folder = mkdtempSync(join(tmpdir(), "bakehouse-images-"));
  const store = openLocalStore(join(folder, "store"));
  let clock = 0;
  const later = (): string => new Date(Date.now() - 60_000 + 1000 * clock++).toISOString();
  const bake = async (image: FixtureImage): Promise<ImageDigest> => {
    const below = image.parent === undefined ? [] : store.images.config(image.parent).rootfs.diff_ids;
    const made: { readonly step: FixtureStep; readonly diff: DiffId }[] = [];
    for (const step of image.steps)
      made.push({ step, diff: await bakeStep(store, folder, [...below, ...made.map(({ diff }) => diff)], step) });
    const diffs = [...below, ...made.map(({ diff }) => diff)];
    const created = new Date(EPOCH_SECONDS * 1000).toISOString().replace(".000Z", "Z");
    const config = store.blobs.putJson({
      created,
      architecture: "amd64",
      os: "linux",
      config: image.config ?? {},
      rootfs: { type: "layers", diff_ids: diffs },
      history: [
        ...(image.parent === undefined ? [] : store.images.config(image.parent).history),
        ...made.map(({ step }) => ({ created, created_by: `bakehouse ${step.address} (copy)`, comment: "Copy files" })),
      ],
    } satisfies ImageConfig);
    const layers = diffs.map((diff): Descriptor => ({ mediaType: MEDIA_TYPES.layer, digest: diff, size: store.blobs.sizeBytes(diff) }));
    const annotations = {
      ...commonAnnotations(image.name, created, image.hermetic ?? true),
      ...(image.parent === undefined ? {} : { [ANNOTATIONS.baseDigest]: image.parent }),
      ...image.annotations,
    };
    const manifest: ImageManifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.manifest,
      config: { mediaType: MEDIA_TYPES.config, digest: config.digest, size: config.sizeBytes },
      layers,
      annotations,
    };
    return publish(store, manifest, image.name, image.bakedAt ?? later());
  };
  return {
    folder,
    store,
    bake,
    bakeVolume: async ({ name, root, path, change, bakedAt }) => {
      const directory = mkdtempSync(join(folder, "volume-"));
      chmodSync(directory, 0o755);
      change(directory);
      const target = join(folder, "volume.erofs");
      await buildErofs({ directory, target, epochSeconds: EPOCH_SECONDS, uuid: "00000000-0000-8000-8000-000000000001", oneTime: true });
      const blob: Sha256 = `sha256:${hashFile(target)}`;
      const size = statSync(target).size;
      store.blobs.adopt(target, blob);
      const empty = store.blobs.putJson({});
      const annotations = { ...commonAnnotations(name, "", true), [ANNOTATIONS.baseDigest]: root, [ANNOTATIONS.volumePath]: path };
      const manifest: ImageManifest = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.manifest,
        artifactType: MEDIA_TYPES.volume,
        config: { mediaType: MEDIA_TYPES.empty, digest: empty.digest, size: empty.sizeBytes },
        layers: [{ mediaType: MEDIA_TYPES.erofs, digest: blob, size }],
        subject: { mediaType: MEDIA_TYPES.manifest, digest: root, size: store.blobs.sizeBytes(root) },
        annotations,
      };
      return publish(store, manifest, name, bakedAt ?? later());
    },
    diffsOf: (image) => store.images.config(image).rootfs.diff_ids,
    remove: () => {
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const commonAnnotations = (name: string, created: string, hermetic: boolean): Annotations => ({
  ...(created === "" ? {} : { [ANNOTATIONS.created]: created }),
  [ANNOTATIONS.title]: name,
  [ANNOTATIONS.recipe]: name.split("/")[0] ?? "",
  [ANNOTATIONS.layer]: name.split("/")[1] ?? "",
  [ANNOTATIONS.hermetic]: String(hermetic),
});

async function bakeStep(store: Store, folder: string, below: readonly DiffId[], step: FixtureStep): Promise<DiffId> {
  const upper = mkdtempSync(join(folder, "upper-"));
  chmodSync(upper, 0o755);
  step.change(upper);
  const target = join(folder, "diff.tar");
  rmSync(target, { force: true });
  const lower = lowerLookup(below.map((diff) => store.diffs.folder(diff)));
  const summary = await overlayDiffs().write({
    directory: upper,
    target,
    epochSeconds: EPOCH_SECONDS,
    lowerHasDirectory: (path) => lower(path).directory,
    signal: new AbortController().signal,
  });
  store.blobs.adopt(target, summary.diffId);
  store.diffs.adopt(upper, summary.diffId);
  // any key will do, as long as equal steps on equal parents have equal ones
  const key = store.blobs.putJson({ below, address: step.address, diff: summary.diffId }).digest;
  store.blobs.remove(key);
  store.steps.save({
    key,
    address: step.address,
    ...summary,
    inputs: {},
    bakedAt: step.bakedAt ?? new Date().toISOString(),
    durationMs: 1,
    tool: "bakehouse test",
  });
  return summary.diffId;
}

async function publish(store: Store, manifest: ImageManifest, name: string, bakedAt: string): Promise<ImageDigest> {
  const stored = store.blobs.putJson(manifest);
  await store.images.put([
    {
      mediaType: MEDIA_TYPES.manifest,
      digest: stored.digest,
      size: stored.sizeBytes,
      ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
      annotations: {
        ...manifest.annotations,
        [ANNOTATIONS.name]: name,
        [ANNOTATIONS.bakedBy]: "tester@host",
        [ANNOTATIONS.bakedAt]: bakedAt,
        [ANNOTATIONS.bake]: "20260101-000000-abcdef",
        [ANNOTATIONS.tool]: "bakehouse test",
        [ANNOTATIONS.recipeDigest]: `sha256:${"1".repeat(64)}`,
      },
    },
  ]);
  return stored.digest;
}

/** Writes files below a directory, making parents; a number as content is its size in bytes. */
export function put(directory: string, files: Readonly<Record<string, string | number>>): void {
  for (const [path, content] of Object.entries(files)) {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, typeof content === "number" ? Buffer.alloc(content, path) : content);
    chmodSync(file, 0o644);
  }
}

/** An overlay whiteout: the file of the layers below is gone. */
export function whiteout(directory: string, path: string): void {
  mkdirSync(dirname(join(directory, path)), { recursive: true });
  execFileSync("mknod", [join(directory, path), "c", "0", "0"]);
}

export const dpkgStatus = (packages: Readonly<Record<string, string>>): string =>
  Object.entries(packages)
    .map(
      ([name, version]) =>
        `Package: ${name}\nStatus: install ok installed\nInstalled-Size: 100\nArchitecture: amd64\nVersion: ${version}\n`,
    )
    .join("\n");

/** The host's own shell with the libraries that it loads: the smallest thing that runs. */
export function putShell(directory: string): void {
  const libraries = [...execFileSync("ldd", ["/bin/sh"], { encoding: "utf8" }).matchAll(/(\/\S+)/g)].map(([, path]) => path ?? "");
  for (const file of ["/bin/sh", ...libraries]) {
    const target = join(directory, file);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(file, target);
    chmodSync(target, 0o755);
  }
  mkdirSync(join(directory, "etc"), { recursive: true });
  writeFileSync(join(directory, "etc", "os-release"), "ID=test\n");
}

/**
 * Mounts and loop devices of a folder that are left: must be none after a test. A loop device that clears itself may stay a
 * moment longer: another process that has begun a mount namespace meanwhile has a copy of the mount until it ends.
 */
export function leftovers(folder: string): readonly string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(folder));
  const loops = execFileSync("losetup", ["--list", "--noheadings", "--output", "AUTOCLEAR,NAME,BACK-FILE"], { encoding: "utf8" }).split(
    "\n",
  );
  return [...mounts, ...loops.filter((line) => line.includes(folder) && !/^\s*1\s/.test(line))];
}
