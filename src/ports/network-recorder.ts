import type { RecordedResponse } from "../core/lock/model.ts";
import type { SandboxCommand } from "./sandbox.ts";

/** A package mirror under the name that the lock knows it by: requests below any of its addresses are recorded as `mirror://<name>/…`. */
export interface NamedMirror {
  /** `debian`, `debian-security`, or a repository of the recipe. */
  readonly name: string;
  /** Base URLs with or without a slash at the end; the first is asked when the symbolic one is used. */
  readonly bases: readonly string[];
}

export interface NetworkRequest {
  readonly address: string;
  /** A process in the network namespace of the step. Absent: this process's own namespace (tests). */
  readonly namespacePid?: number;
  readonly mirrors: readonly NamedMirror[];
  readonly signal: AbortSignal;
  log(line: string): void;
}

/** Lets the commands of one step speak HTTP and HTTPS through a proxy, and no other way. */
export interface NetworkSession {
  /** For every command of the step. */
  readonly environment: Readonly<Record<string, string>>;
  /** For every command of the step: certificates and settings that the environment points to. */
  readonly memoryFiles: NonNullable<SandboxCommand["memoryFiles"]>;
}

export interface RecordingSession extends NetworkSession {
  /**
   * Ends it; what came through, sorted.
   *
   * @throws BakehouseError NETWORK_REFUSED for requests that cannot be replayed, MIRROR_UNAVAILABLE for addresses that never answered
   */
  close(): Promise<readonly RecordedResponse[]>;
}

export interface ReplaySession extends NetworkSession {
  /** Ends it. @throws BakehouseError NETWORK_REFUSED with every request that the recording does not hold */
  close(): Promise<void>;
}

/** Records what a `network: recorded` step is given during `lock`, and gives it the same during `bake`. */
export interface NetworkRecorder {
  record(request: NetworkRequest): Promise<RecordingSession>;
  /** What the store lacks is fetched if it is still the same. @throws BakehouseError LOCK_STALE when neither store nor network has a recorded body */
  replay(request: NetworkRequest, responses: readonly RecordedResponse[]): Promise<ReplaySession>;
}
