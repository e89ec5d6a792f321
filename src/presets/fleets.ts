import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { crashAt } from "../adapters/local-host/crash-at.ts";
import { sleep } from "../adapters/local-host/clock.ts";
import { machineClock } from "../adapters/local-host/machine-clock.ts";
import { hostSecrets } from "../adapters/local-host/secret-source.ts";
import { isAlive, thisProcess } from "../adapters/local-store/owners.ts";
import { localFleet } from "../adapters/local-fleet/local-fleet.ts";
import { openSqliteFleets } from "../adapters/sqlite-fleets/sqlite-fleets.ts";
import { gateProbes } from "../adapters/gate-probes/gate-probes.ts";
import { sshFleet } from "../adapters/ssh-fleet/ssh-fleet.ts";
import { vmFleet } from "../adapters/vm-fleet/vm-fleet.ts";
import { readImage } from "../engine/image-content.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import { fleetKey, type KnownFleet } from "../ports/fleet-records.ts";
import type { FleetParts } from "../engine/fleet-parts.ts";
import type { ImageParts } from "./images.ts";

/** The parts for fleets and rollouts. What they need of the store is in `parts`. */
export async function fleetParts(
  parts: ImageParts,
  env: Readonly<Record<string, string | undefined>>,
): Promise<FleetParts & { close(): void }> {
  const { store } = parts;
  const records = openSqliteFleets(store.path("fleets.db"), { readOnly: store.readOnly });
  const cells = await parts.cells();
  const machines = await parts.imageMachines();
  const secretsOf = ({ secrets, file }: Pick<KnownFleet, "secrets" | "file">) => hostSecrets({ secrets, folder: dirname(file) }, env);
  return {
    store,
    clock: parts.clock,
    baker: parts.baker,
    catalog: parts.catalog,
    records,
    provider: ({ recipe, fleet, secrets, file }): FleetProvider => {
      const { resolve } = secretsOf({ secrets, file });
      switch (fleet.provider) {
        case "ssh":
          return sshFleet({ store, folder: dirname(file) }, recipe, fleet);
        case "vm":
          return vmFleet(
            { ...machines, store, secrets: resolve, epochSeconds: (image) => readImage(store, image).epochSeconds },
            recipe,
            fleet,
          );
        case "local":
          return localFleet({ store, cells, secrets: resolve }, recipe, fleet);
      }
    },
    gates: (fleet, provider) =>
      gateProbes({
        fleet: provider,
        secret: (name) => secretsOf(fleet).resolve([name]).get(name),
        baselines: {
          read: (gate) => records.baseline(fleetKey(fleet), gate),
          keep: (gate, baseline) => records.keepBaseline(fleetKey(fleet), gate, baseline),
        },
      }),
    machineClock,
    owner: thisProcess,
    isAlive,
    digestOf: (text) => `sha256:${createHash("sha256").update(text).digest("hex")}`,
    sleep,
    reach: crashAt(env["BAKEHOUSE_CRASH_AT"]),
    close: () => records.close(),
  };
}
