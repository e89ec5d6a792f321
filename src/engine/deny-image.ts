import type { ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { fleetKey } from "../ports/fleet-records.ts";
import { findFleet } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { fleetRelease } from "./fleet-release.ts";
import { recordDeed } from "./record-deed.ts";

interface Listed {
  readonly key: string;
  readonly digest: ImageDigest;
}

/** @throws FLEET_NOT_FOUND, IMAGE_NOT_FOUND */
export async function denyImage(parts: FleetParts, fleet: string, reference: string, reason: string): Promise<Listed> {
  const key = fleetKey(findFleet(parts.records, fleet));
  const digest = fleetRelease(parts.store, reference).image;
  parts.records.deny(key, { digest, reason, who: await parts.baker(), at: parts.clock.now().toISOString() });
  await recordDeed(parts, "image-denied", key, { what: digest, image: digest, reason });
  return { key, digest };
}

/** @param beginning  of a digest, or what `findImage` takes @throws FLEET_NOT_FOUND, IMAGE_NOT_FOUND when it is not on the list */
export async function allowImage(parts: FleetParts, fleet: string, beginning: string, reason: string): Promise<Listed> {
  const key = fleetKey(findFleet(parts.records, fleet));
  const hex = /^(?:sha256:)?[0-9a-f]{4,64}$/.test(beginning)
    ? beginning.replace(/^sha256:/, "")
    : fleetRelease(parts.store, beginning).image.slice("sha256:".length);
  const found = parts.records.denied(key).filter(({ digest }) => digest.slice("sha256:".length).startsWith(hex));
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new BakehouseError(
      "IMAGE_NOT_FOUND",
      `${found.length === 0 ? "No image" : `${found.length} images`} on the deny list of ${key} ${found.length === 0 ? "begins" : "begin"} with ${JSON.stringify(beginning)}`,
      {
        hint: `bakehouse fleet status ${key}`,
      },
    );
  parts.records.allow(key, only.digest);
  await recordDeed(parts, "image-allowed", key, { what: only.digest, image: only.digest, reason });
  return { key, digest: only.digest };
}
