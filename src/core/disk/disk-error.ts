import { BakehouseError } from "../errors.ts";

/** The message is a sentence about the disk; whoever knows its name puts it in front. */
export const diskInvalid = (message: string, hint?: string): BakehouseError =>
  new BakehouseError("DISK_INVALID", message, hint === undefined ? {} : { hint });

/** The same with the name of the disk in front. */
export function aboutDisk(error: unknown, name: string): unknown {
  if (!(error instanceof BakehouseError) || error.code !== "DISK_INVALID") return error;
  const { message } = error;
  return new BakehouseError("DISK_INVALID", `${name}: ${message.charAt(0).toLowerCase()}${message.slice(1)}`, error.help, error);
}
