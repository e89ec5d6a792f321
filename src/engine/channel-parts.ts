import type { MachineClock } from "../core/audit/record.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { PromisedCheck, SecurityIndex } from "../core/promotion/facts.ts";
import type { Catalog } from "../ports/catalog.ts";
import type { ReachPoint } from "../ports/crash-points.ts";
import type { Clock } from "../ports/host.ts";
import type { Papers } from "../ports/papers.ts";
import type { Store } from "../ports/store.ts";

/** What commands about channels, approvals and revocations need. */
export interface ChannelParts {
  readonly store: Store;
  readonly clock: Clock;
  /** `user@host` of whoever gives the command. */
  baker(): Promise<string>;
  catalog(): Promise<Pick<Catalog, "ledger">>;
  papers(): Promise<Pick<Papers, "of" | "read">>;
  /** Undefined where the machine does not tell. */
  machineClock(): MachineClock | undefined;
  /** The newest security updates that the store knows of, of a Debian release (`12`); undefined when it has no lists. */
  securityUpdates(request: { readonly release: string; readonly packages: readonly string[] }): Promise<SecurityIndex | undefined>;
  /** What an image promises to pass; undefined when nobody who is trusted says so. */
  promisedChecks(image: ImageDigest): Promise<readonly PromisedCheck[] | undefined>;
  readonly reach: ReachPoint;
}
