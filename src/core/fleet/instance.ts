import type { ImageDigest } from "../digest.ts";

/** What is known of one instance at a moment. Everything that it says of itself was measured there. */
export interface InstanceReport {
  /** Unique within a fleet, never used again. */
  readonly id: string;
  readonly zone: string;
  /** What the provider says: it made the instance from this. */
  readonly provided: ImageDigest | undefined;
  /** What the instance runs, measured; undefined: no answer, or nothing that is known. Different from `provided`: a conflict. */
  readonly running: ImageDigest | undefined;
  readonly bootedAt: string | undefined;
  /** Empty or stale is unknown, never healthy. */
  readonly health: "healthy" | "unhealthy" | "unknown";
  /** Takes traffic. */
  readonly serving: boolean;
  readonly observedAt: string;
}
