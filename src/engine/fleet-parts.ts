import type { MachineClock } from "../core/audit/record.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import type { GateProbes } from "../ports/gate-probes.ts";
import type { FleetRecords, KnownFleet } from "../ports/fleet-records.ts";
import type { Clock } from "../ports/host.ts";
import type { Owner, Store } from "../ports/store.ts";

/** What commands about fleets and rollouts need. */
export interface FleetParts {
  readonly store: Store;
  readonly clock: Clock;
  /** `user@host` of whoever gives the command. */
  baker(): Promise<string>;
  catalog(): Promise<Pick<Catalog, "ledger">>;
  readonly records: FleetRecords;
  provider(fleet: KnownFleet): FleetProvider;
  /** Asks the gates of one rollout. */
  gates(fleet: KnownFleet, provider: FleetProvider): GateProbes;
  /** Monotonic, and the same in every process of this boot. Undefined where the machine does not tell. */
  machineClock(): MachineClock | undefined;
  /** This process, as others see it. */
  owner(what: string): Owner;
  isAlive(owner: Owner): boolean;
  /** SHA-256 of a text, `sha256:…`. */
  digestOf(text: string): string;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  readonly reach: ReachPoint;
}
