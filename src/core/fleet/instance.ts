import type { ImageDigest } from "../digest.ts";

/** Empty or stale is unknown, never healthy. */
export type InstanceHealth = "healthy" | "unhealthy" | "unknown";

/**
 * What is known of one instance at a moment. A fleet has as many slots as its size; each is taken by one instance after another:
 * `web-3` by `web-3-a1f4`, then by `web-3-09c2`. Machines that cannot be replaced have the same name as their slot.
 */
export interface InstanceReport {
  /** Unique within a fleet, never used again. */
  readonly id: string;
  readonly slot: string;
  readonly zone: string;
  /** What the provider says: it made the instance from this, or brought it there. */
  readonly provided: ImageDigest | undefined;
  /** What the instance runs, measured there; undefined: no answer, or nothing that is known. Different from `provided`: a conflict. */
  readonly running: ImageDigest | undefined;
  /** ISO 8601, UTC. */
  readonly bootedAt: string | undefined;
  readonly health: InstanceHealth;
  /** Why it is not healthy. */
  readonly why?: string;
  /** Takes traffic. */
  readonly serving: boolean;
  /** ISO 8601, UTC. */
  readonly observedAt: string;
}

/** A machine says one thing while the provider says another. */
export const isConflict = ({ provided, running }: Pick<InstanceReport, "provided" | "running">): boolean =>
  provided !== undefined && running !== undefined && provided !== running;
