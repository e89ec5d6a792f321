import { hexOf, shortDigest, type ImageDigest, type Sha256 } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import type { LaunchSetting } from "../core/launch/launch-script.ts";
import { fillSettings } from "../core/launch/user-data.ts";
import type { Store } from "../ports/store.ts";
import { contentOf, kindOf } from "./image-content.ts";
import { findImage, nameOf } from "./find-image.ts";
import { LAUNCH_FILES } from "./launch-payload.ts";

export interface LaunchFile {
  readonly name: string;
  readonly mode: number;
  /** A text, or the blob that it is. */
  readonly content: string | { readonly blob: Sha256 };
}

export interface LaunchFiles {
  readonly name: string;
  readonly digest: ImageDigest;
  /** The image that the machine starts from. */
  readonly root: { readonly name: string; readonly digest: ImageDigest };
  /** SHA-256 of the payload, if there is one. */
  readonly payload?: Sha256;
  readonly files: readonly LaunchFile[];
}

/**
 * The files that a machine is given at launch, with settings filled in. `meta-data` makes the folder a seed of cloud-init's
 * NoCloud data source.
 *
 * @param readText  the text of a blob
 * @throws IMAGE_NOT_FOUND, INPUT_INVALID (an image or a volume needs nothing at launch), USAGE (a setting that it does not read)
 */
export function launchFiles(
  store: Store,
  reference: string,
  settings: Readonly<Partial<Record<LaunchSetting, string>>>,
  readText: (blob: Sha256) => string,
): LaunchFiles {
  const entry = findImage(store, reference);
  const name = nameOf(entry);
  if (kindOf(entry) !== "launch") throw nothingAtLaunch(store, name);
  const { manifest, root } = contentOf(store, entry);
  if (root === undefined) throw new Error(`Launch ${name} has no root image`);
  const blobs = new Map(manifest.layers.map((layer) => [layer.annotations?.[ANNOTATIONS.title], layer.digest]));
  const text = (title: string): string | undefined => {
    const blob = blobs.get(title);
    return blob === undefined ? undefined : readText(blob);
  };
  const userData = fillSettings(text(LAUNCH_FILES.userData) ?? "", settings);
  if (userData.unused.length > 0)
    throw new BakehouseError("USAGE", `${name} does not read ${userData.unused.join(", ")}`, {
      hint: "a payload's address is for a launch with files, mirrors are for one that installs packages",
    });
  const env = text(LAUNCH_FILES.settings);
  const payload = blobs.get(LAUNCH_FILES.payload);
  const rootEntry = store.images.entries().find(({ digest }) => digest === root);
  return {
    name,
    digest: entry.digest,
    root: { name: rootEntry === undefined ? "" : nameOf(rootEntry), digest: root },
    ...(payload === undefined ? {} : { payload }),
    files: [
      { name: LAUNCH_FILES.userData, mode: 0o600, content: userData.text },
      { name: "meta-data", mode: 0o644, content: `instance-id: ${name.replaceAll("/", "-")}-${shortDigest(entry.digest)}\n` },
      { name: LAUNCH_FILES.script, mode: 0o755, content: text(LAUNCH_FILES.script) ?? "" },
      ...(env === undefined ? [] : [{ name: LAUNCH_FILES.settings, mode: 0o600, content: fillSettings(env, settings).text }]),
      ...(payload === undefined ? [] : [{ name: `${hexOf(payload)}.tar`, mode: 0o644, content: { blob: payload } }]),
    ],
  };
}

function nothingAtLaunch(store: Store, name: string): BakehouseError {
  const launches = store.images
    .entries()
    .filter((entry) => kindOf(entry) === "launch" && entry.annotations[ANNOTATIONS.name] !== undefined);
  return new BakehouseError("INPUT_INVALID", `${name} needs nothing at launch: all of it is baked`, {
    hint:
      launches.length === 0
        ? "`cake: software` or `cake: boot` in the recipe leaves layers for the launch"
        : `these do: ${launches.map(nameOf).join(", ")}`,
  });
}
