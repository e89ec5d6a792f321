import { BakehouseError } from "./errors.ts";

const STATE = "bakehouse shell --failed";

/** Part of the hint of a failed step. */
export const LOOK_AT_FAILURE = `bakehouse bake --keep-on-failure, then ${STATE}, to look at the state it left`;

/** What a failed step says once its state was kept: half of the hint is done. */
export function onceKept(failure: BakehouseError): BakehouseError {
  const { hint } = failure.help;
  const now =
    hint?.includes(LOOK_AT_FAILURE) === true ? hint.replace(LOOK_AT_FAILURE, `${STATE}, to look at the state it left`) : (hint ?? STATE);
  return new BakehouseError(failure.code, failure.message, { ...failure.help, hint: now }, failure.cause);
}
