import { BakehouseError } from "../../core/errors.ts";
import type { Help } from "../../core/errors.ts";

/** A step cannot do what it was asked for: the message names the step, the value and the reason. */
export const stepFailed = (address: string, message: string, help: Help = {}): BakehouseError =>
  new BakehouseError("STEP_FAILED", `${address}: ${message}`, help);

/** Reasons that come from what the recipe asks of this image, not from the machine that bakes. */
const USERS_MISTAKES: ReadonlySet<string> = new Set([
  "ENOTDIR",
  "EISDIR",
  "ELOOP",
  "EEXIST",
  "EINVAL",
  "ENAMETOOLONG",
  "ENOENT",
  "ENOTEMPTY",
  "EBUSY",
]);

/** Runs work on the image's tree and tells what stands in its way as a failed step. */
export function inImage<T>(address: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof BakehouseError || !(cause instanceof Error) || !("code" in cause) || !USERS_MISTAKES.has(String(cause.code)))
      throw cause;
    throw new BakehouseError("STEP_FAILED", `${address}: ${cause.message}`, {}, cause);
  }
}
