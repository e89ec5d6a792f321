import type { InstanceReport } from "../core/fleet/instance.ts";
import type { FleetRelease } from "../core/fleet/release.ts";

/** What a provider can do; nothing else tells providers apart. */
export interface ProviderCan {
  /** Make machines and end them. Without it the machines are given, one for each slot. */
  readonly replace: boolean;
  /** Exchange the release volume of a running machine. */
  readonly activate: boolean;
  /** Send only part of the traffic to an instance. */
  readonly weigh: boolean;
}

export interface InstancePlace {
  /** Unique within the fleet, never used again; the provider may make host names of it. */
  readonly id: string;
  readonly slot: string;
  readonly zone: string;
}

/**
 * The machines of one fleet. Whatever is asked for may be asked for again, also by another process after a crash: what is done already is
 * not done twice, and what was half done is finished. What a provider makes it writes down first, so that it is found again.
 */
export interface FleetProvider {
  readonly can: ProviderCan;
  /** All machines that have not ended, the ones of which nobody knows any more among them. Never throws for a single machine. */
  observe(): Promise<readonly InstanceReport[]>;
  /**
   * Makes a machine and starts it; it takes no traffic before `admit`. Done when it was started, not when it is healthy.
   *
   * @throws INSTANCE_FAILED when it cannot be made
   */
  launch(place: InstancePlace, release: FleetRelease, signal: AbortSignal): Promise<void>;
  /**
   * Brings a machine what `activate` needs, while it goes on serving: what takes long there. Absent: it has it already.
   *
   * @throws as `activate`
   */
  prepare?(id: string, release: FleetRelease, signal: AbortSignal): Promise<void>;
  /**
   * Exchanges the release volume while the machine runs, and starts `entry` again. The one before is kept for the way back.
   *
   * @throws INSTANCE_FAILED when it cannot be done; the machine then runs what it ran before. INSTANCE_UNREACHABLE when it does not
   * answer: what became of it is not known, and it may be asked again
   */
  activate(id: string, release: FleetRelease, signal: AbortSignal): Promise<void>;
  /** Lets it take traffic as soon as it is healthy. @param weight  share of what others take, 0–100; 100 where `can.weigh` is not */
  admit(id: string, weight: number): Promise<void>;
  /** No new requests. @returns whether those under way were done before the deadline */
  drain(id: string, deadlineMs: number, signal: AbortSignal): Promise<boolean>;
  /** Ends it for good. */
  terminate(id: string): Promise<void>;
  /** The newest last. @throws INSTANCE_NOT_FOUND */
  logs(id: string, options: { readonly lines: number; readonly unit?: string }): Promise<readonly string[]>;
  /** Command line of this host that runs a program inside, with whatever terminal it is started with. @throws INSTANCE_NOT_FOUND */
  commandLine(id: string, argv: readonly string[]): Promise<readonly string[]>;
  /** One HTTP request to a port of the instance, past the load balancer. @throws Error when nothing answers in time */
  http(
    id: string,
    request: { readonly port: number; readonly path: string; readonly timeoutMs: number },
  ): Promise<{ readonly status: number; readonly body: string }>;
  /** Ends what belongs to the fleet as a whole, such as its load balancer. Its machines have ended before. */
  dissolve(): Promise<void>;
}
