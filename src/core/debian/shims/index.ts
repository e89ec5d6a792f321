import { AWK, MAINTSCRIPT_HELPER, SLEEP, SSH_KEYGEN, START_STOP_DAEMON } from "./small-shims.ts";
import type { Shim } from "./shim.ts";
import { SYSTEMD_HELPER } from "./systemd-helper.ts";
import { UPDATE_CA_CERTIFICATES } from "./update-ca-certificates.ts";

export type { Shim } from "./shim.ts";
export const SHIMS: readonly Shim[] = [
  SSH_KEYGEN,
  START_STOP_DAEMON,
  AWK,
  SLEEP,
  MAINTSCRIPT_HELPER,
  SYSTEMD_HELPER,
  UPDATE_CA_CERTIFICATES,
];
