import { BakehouseError } from "../../core/errors.ts";

/** xz processes side by side; two keep a small machine busy and leave larger ones to other layers. */
export const JOBS = 2;

/** Lets other work of this process happen between two packages. */
export const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** The error for packages that could not be read, or a stop while they were. A full disk is told by whoever knows the disk. */
export const unreadable = (cause: unknown, signal: AbortSignal): unknown => {
  if (signal.aborted) return new BakehouseError("CANCELLED", "Stopped while the packages were read", {}, cause);
  if (cause instanceof Error && "code" in cause && cause.code === "ENOSPC") return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  // said by xz, or by the file system
  if (/No space left on device|ENOSPC/.test(reason))
    return new BakehouseError(
      "STORE_FULL",
      "No space left to unpack the packages",
      { hint: "bakehouse gc --apply, or a store on a larger disk: --store DIR" },
      cause,
    );
  return new BakehouseError(
    "STEP_FAILED",
    `A package cannot be read: ${reason}`,
    { hint: "bakehouse verify, to find damaged packages in the store" },
    cause,
  );
};
