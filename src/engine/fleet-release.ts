import { BakehouseError } from "../core/errors.ts";
import type { FleetRelease } from "../core/fleet/release.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import type { Store } from "../ports/store.ts";
import { readImage } from "./image-content.ts";

/** What a fleet is brought to when it is to run an image. @throws IMAGE_NOT_FOUND, REFERENCE_AMBIGUOUS, INPUT_INVALID (no machine) */
export function fleetRelease(store: Store, reference: string): FleetRelease {
  const { entry, name, kind, manifest, config, source } = readImage(store, reference);
  if (kind === "launch")
    throw new BakehouseError("INPUT_INVALID", `${name} is what machines are given at launch, and no image that a fleet can run`, {
      hint: "name the image that it belongs to",
    });
  const unit = manifest.annotations?.[ANNOTATIONS.entry] ?? config.config?.Labels?.[ANNOTATIONS.entry];
  return {
    image: entry.digest,
    name,
    diffs: source.diffs,
    ...(source.volume === undefined ? {} : { volume: source.volume }),
    ...(unit === undefined ? {} : { entry: unit }),
  };
}
