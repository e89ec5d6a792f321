import { crashAt } from "../adapters/local-host/crash-at.ts";
import { machineClock } from "../adapters/local-host/machine-clock.ts";
import { platformOf } from "../core/checks/check.ts";
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
  promisedChecks: async (image) => {
    const { declarationOf } = await import("../engine/declared-checks.ts");
    const { checks } = await import("../checks/registry.ts");
    return declarationOf(await parts.papers(), image)?.checks.map(({ name, check, options }) => {
      const definition = checks.get(check);
      const checked = definition?.options.safeParse(options);
      if (definition === undefined || checked?.success !== true) return { name }; // of a newer Bakehouse
      return { name, platform: platformOf(definition, checked.data) };
    });
  },
  reach: crashAt(env["BAKEHOUSE_CRASH_AT"]),
  uses: async () => {
    const fleets = await fleetsOf(parts);
    const named = new Set(fleets.flatMap(({ slots }) => slots));
    // of a fleet's machines one line is enough: they are replaced by a rollout, and not stopped
    const cells = (await cellsOf(parts)).filter(({ where }) => !named.has(where.slice(0, where.lastIndexOf("-"))));
    return [...(await mountsOf(parts)), ...cells, ...fleets.flatMap(({ use }) => use)];
  },
});

async function fleetsOf(parts: ImageParts): Promise<readonly { readonly slots: readonly string[]; readonly use: readonly RevokedUse[] }[]> {
  const { openSqliteFleets } = await import("../adapters/sqlite-fleets/sqlite-fleets.ts");
  const { slotsOf } = await import("../core/fleet/slots.ts");
  const { fleetKey } = await import("../ports/fleet-records.ts");
  const records = openSqliteFleets(parts.store.path("fleets.db"), { readOnly: true });
  try {
    return records.fleets().map((known) => ({
      slots: slotsOf(known.fleet, known.size).map(({ slot }) => slot),
      use:
        known.declared === undefined
          ? []
          : [
              {
                kind: "fleet",
                where: fleetKey(known),
                image: known.declared,
                command: `bakehouse rollout plan ${fleetKey(known)} --image IMAGE`,
              },
            ],
    }));
  } finally {
    records.close();
  }
}

async function mountsOf(parts: ImageParts): Promise<readonly RevokedUse[]> {
  return (await parts.mounts())
    .list()
    .filter(({ mounted }) => mounted)
    .map(({ image, directory }) => ({ kind: "mount", where: directory, image, command: `bakehouse image unmount ${directory}` }));
}

async function cellsOf(parts: ImageParts): Promise<readonly RevokedUse[]> {
  return (await parts.cells())
    .list()
    .filter(({ status }) => status !== "stopped" && status !== "died")
    .map(({ image, name }) => ({ kind: "cell", where: name, image: image.digest, command: `bakehouse stop ${name}` }));
}
