import type { ImageDigest, Sha256 } from "../core/digest.ts";
import { hexOf } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS, MEDIA_TYPES, type Annotations, type Descriptor, type ImageManifest } from "../core/image/oci.ts";
import { canonicalJson } from "../core/json.ts";
import { launchScript, repositoryKeys, settingsOf, stepsScript, STEPS_FILE, type LaunchPlan } from "../core/launch/launch-script.ts";
import { MAX_USER_DATA_BYTES, settingsFile, userData } from "../core/launch/user-data.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { FileRequest, LaunchFragment } from "../core/step.ts";
import { commonAnnotations, publish, type BakedImage, type Lineage } from "./assemble-image.ts";
import type { BoundStep } from "./bound-recipe.ts";
import type { EngineParts } from "./parts.ts";
import { DEFAULT_EPOCH_SECONDS, isHermetic } from "./plan-bake.ts";
import type { Launch } from "./split-cake.ts";

/** Raise it when equal inputs start giving another payload. */
const PAYLOAD_VERSION = 1;

/** Names of the files of a launch, as `bakehouse launch-files` writes them and as their descriptors are titled. */
export const LAUNCH_FILES = { userData: "user-data", script: "launch.sh", settings: "launch.env", payload: "payload.tar" } as const;

export interface LaunchBake {
  readonly recipe: Recipe;
  readonly lineage: Lineage;
  /** What was baked, the launches' roots among it. */
  readonly images: readonly BakedImage[];
  readonly signal: AbortSignal;
}

/**
 * Makes what a machine needs at launch in place of a layer that is not baked, and keeps it as an OCI artifact whose
 * subject is the image that the machine starts from:
 *
 *     user-data      for cloud-init: launch.sh and an empty launch.env inside
 *     launch.sh      the script alone, for a systemd credential
 *     launch.env     the settings that it reads, empty: an image or artifact never says where a payload lies
 *     payload.tar    the files that the steps need; only if they need any
 *
 * Equal steps and files give equal bytes, on any machine and day.
 *
 * @throws INPUT_INVALID when a file was edited meanwhile; RECIPE_INVALID of a step that cannot be done at launch
 */
export async function bakeLaunch(parts: EngineParts, launch: Launch, about: LaunchBake): Promise<BakedImage> {
  const startedMs = parts.clock.elapsedMs();
  const { recipe, lineage } = about;
  const root = about.images.find((image) => image.layer === launch.root.name && image.kind === "image");
  if (root === undefined) throw new Error(`Launch ${launch.layer.name} was made before the image of ${launch.root.name}`);
  const made = await launchTexts(parts, launch, about);
  const hermetic = isHermetic(recipe, launch.root) && !launch.steps.some(reachesOut);
  const annotations: Annotations = {
    ...commonAnnotations(recipe, launch.layer, { hermetic, parameters: lineage.parameters }),
    [ANNOTATIONS.baseDigest]: root.digest,
  };
  const manifest = launchManifest(parts, made, root.digest, annotations);
  const stored = parts.store.blobs.putText(canonicalJson(manifest));
  const name = `${recipe.name}/${launch.layer.name}`;
  const isThere = parts.store.images
    .entries()
    .some((entry) => entry.digest === stored.digest && entry.annotations[ANNOTATIONS.name] === name);
  const sizeBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0);
  const durationMs = Math.round(parts.clock.elapsedMs() - startedMs);
  const result: BakedImage = {
    kind: "launch",
    layer: launch.layer.name,
    name,
    digest: stored.digest,
    cached: isThere,
    sizeBytes,
    durationMs,
    hermetic,
  };
  await publish(parts, result, stored.sizeBytes, annotations, lineage, root.digest);
  return result;
}

/** Whether a machine needs more than its payload for a step: packages, downloads, or anything that a script fetches. */
const reachesOut = ({ step, requirements }: BoundStep): boolean =>
  step.network !== "none" || requirements.packages !== undefined || (requirements.downloads?.length ?? 0) > 0;

interface LaunchTexts {
  readonly userData: string;
  readonly script: string;
  readonly settings: string;
  readonly payload?: { readonly digest: Sha256; readonly sizeBytes: number };
}

async function launchTexts(parts: EngineParts, launch: Launch, about: LaunchBake): Promise<LaunchTexts> {
  const { recipe, lineage } = about;
  const name = `${recipe.name}/${launch.layer.name}`;
  const fragments = launch.steps.map((bound): readonly [string, LaunchFragment] => [bound.step.address, fragmentOf(bound, lineage)]);
  const usesApt = launch.steps.some(({ requirements }) => requirements.packages !== undefined);
  const plan: LaunchPlan = {
    name,
    steps: fragments.map(([address, { script }]) => ({ address, script })),
    usesApt,
    repositories: usesApt ? recipe.repositories : [],
  };
  const files = [...fragments.flatMap(([, { payload }]) => payload ?? []), ...repositoryKeys(plan)];
  const steps = stepsScript(plan);
  const runs = recipe.cake === "boot" ? "by-cloud-init" : "by-unit";
  const texts = (payload: LaunchTexts["payload"], inline: string | undefined): LaunchTexts => {
    const launchId = hexOf(parts.hasher.digestOf(canonicalJson({ name, steps, payload: payload?.digest ?? "" })));
    const script = launchScript(name, launchId, payload === undefined ? undefined : hexOf(payload.digest), inline);
    const settings = settingsOf(plan, payload !== undefined);
    return {
      script,
      settings: settingsFile(settings),
      userData: userData(name, script, settings, runs),
      ...(payload === undefined ? {} : { payload }),
    };
  };
  const whole = texts(files.length === 0 ? undefined : await payloadOf(parts, recipe, files, {}, about.signal), steps);
  if (new TextEncoder().encode(whole.userData).length <= MAX_USER_DATA_BYTES) return whole;
  return texts(await payloadOf(parts, recipe, files, { [STEPS_FILE]: steps }, about.signal), undefined);
}

function fragmentOf({ step, definition, options }: BoundStep, { parameters }: Lineage): LaunchFragment {
  const fragment = definition.atLaunch?.(options, { address: step.address, parameters });
  if (fragment === undefined) throw new Error(`${step.address} of a validated recipe cannot be done at launch`);
  return fragment;
}

/** The tarball, packed unless one of the same content is there. A note remembers which content gave which tarball. */
async function payloadOf(
  parts: EngineParts,
  recipe: Recipe,
  files: readonly FileRequest[],
  texts: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ readonly digest: Sha256; readonly sizeBytes: number }> {
  const { store, hasher } = parts;
  const content = (): Sha256 =>
    hasher.digestOf(
      canonicalJson({
        version: PAYLOAD_VERSION,
        files: files.length === 0 ? "" : hasher.hash(recipe.folder, files).digest,
        paths: files.map(({ path, excludes = [] }) => [path, ...excludes]),
        texts,
      }),
    );
  const before = content();
  const note = `plans/launch-${hexOf(before)}.json`;
  const known = (store.readNote(note) as { readonly payload?: Sha256 } | undefined)?.payload;
  if (known !== undefined && store.blobs.has(known)) return { digest: known, sizeBytes: store.blobs.sizeBytes(known) };
  const work = parts.newBakeId();
  const folder = store.workFolder(work);
  try {
    parts.payloads.stage({ hasher, folder: recipe.folder, files, texts, directory: `${folder}/payload` });
    // One constant time: a payload depends on its files, not on when the packages below it were built.
    const packed = await parts.diffs.write({
      directory: `${folder}/payload`,
      target: `${folder}/payload.tar`,
      epochSeconds: DEFAULT_EPOCH_SECONDS,
      lowerHasDirectory: () => false,
      signal,
    });
    if (content() !== before)
      throw new BakehouseError("INPUT_INVALID", `Files of ${recipe.name} changed while the payload was packed`, {
        hint: "bake again when nobody writes there",
      });
    store.blobs.adopt(`${folder}/payload.tar`, packed.diffId);
    store.writeNote(note, { payload: packed.diffId });
    return { digest: packed.diffId, sizeBytes: packed.sizeBytes };
  } finally {
    store.releaseWorkFolder(work);
  }
}

function launchManifest(parts: EngineParts, made: LaunchTexts, root: ImageDigest, annotations: Annotations): ImageManifest {
  const { blobs } = parts.store;
  const empty = blobs.putText("{}");
  const text = (mediaType: string, title: string, content: string): Descriptor => {
    const stored = blobs.putText(content);
    return { mediaType, digest: stored.digest, size: stored.sizeBytes, annotations: { [ANNOTATIONS.title]: title } };
  };
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    artifactType: MEDIA_TYPES.launch,
    config: { mediaType: MEDIA_TYPES.empty, digest: empty.digest, size: empty.sizeBytes },
    layers: [
      text("text/cloud-config", LAUNCH_FILES.userData, made.userData),
      text("application/x-sh", LAUNCH_FILES.script, made.script),
      ...(made.settings === "" ? [] : [text("text/plain", LAUNCH_FILES.settings, made.settings)]),
      ...(made.payload === undefined
        ? []
        : [
            {
              mediaType: MEDIA_TYPES.payload,
              digest: made.payload.digest,
              size: made.payload.sizeBytes,
              annotations: { [ANNOTATIONS.title]: LAUNCH_FILES.payload },
            },
          ]),
    ],
    subject: { mediaType: MEDIA_TYPES.manifest, digest: root, size: blobs.sizeBytes(root) },
    annotations,
  };
}
