import { crashAt } from "../adapters/local-host/crash-at.ts";
import { machineClock } from "../adapters/local-host/machine-clock.ts";
import type { RevokedUse, RevokeParts } from "../engine/revoke-image.ts";
import type { ImageParts } from "./images.ts";

/** The parts for channels, approvals and revocations. */
export const channelParts = (parts: ImageParts, env: Readonly<Record<string, string | undefined>>): RevokeParts => ({
  store: parts.store,
  clock: parts.clock,
  baker: parts.baker,
  catalog: parts.catalog,
  papers: parts.papers,
  machineClock,
  securityUpdates: async (request) => {
    const { knownSecurityUpdates } = await import("../adapters/apt-resolver/security-updates.ts");
    return knownSecurityUpdates(parts.store.path("apt"), request);
  },
  promisedChecks: async () => undefined,
  reach: crashAt(env["BAKEHOUSE_CRASH_AT"]),
  uses: async () => mountsOf(parts),
});

async function mountsOf(parts: ImageParts): Promise<readonly RevokedUse[]> {
  return (await parts.mounts())
    .list()
    .filter(({ mounted }) => mounted)
    .map(({ image, directory }) => ({ kind: "mount", where: directory, image, command: `bakehouse image unmount ${directory}` }));
}
