import type { ImageDigest } from "../digest.ts";
import type { InstanceReport } from "../fleet/instance.ts";
import type { GateInstance } from "./placeholders.ts";

/** Who is asked about. */
export interface GateSubjects {
  /** Everything on the new image. `sinceMs`: how long ago its move began: older lines and samples say nothing about the new image. */
  readonly moved: readonly (GateInstance & { readonly sinceMs: number })[];
  readonly untouched: readonly GateInstance[];
}

/**
 * Divides a fleet by what each instance runs. One that does not tell counts as what it was brought to, so that its silence is an error of
 * the gate and not a smaller sample.
 *
 * @param sinceMs  how long ago the move of an instance began; since its boot if it ran the image before
 */
export function gateSubjects(
  reports: readonly InstanceReport[],
  target: ImageDigest,
  sinceMs: (report: InstanceReport) => number,
): GateSubjects {
  const isMoved = ({ running, provided }: InstanceReport): boolean => (running ?? provided) === target;
  return {
    moved: reports.filter(isMoved).map((report) => ({ id: report.id, sinceMs: sinceMs(report) })),
    untouched: reports.filter((report) => !isMoved(report)).map(({ id }) => ({ id })),
  };
}
