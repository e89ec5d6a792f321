import type { CheckRegistry } from "../core/checks/check.ts";
import { bootTime } from "./boot-time.ts";
import { cis } from "./cis.ts";
import { command } from "./command.ts";
import { file } from "./file.ts";
import { http } from "./http.ts";
import { hygiene } from "./hygiene.ts";
import { logAbsent } from "./log-absent.ts";
import { lynis } from "./lynis.ts";
import { noEgress } from "./no-egress.ts";
import { noFailedUnits } from "./no-failed-units.ts";
import { packageCheck } from "./package.ts";
import { portClosed } from "./port-closed.ts";
import { script } from "./script.ts";
import { service } from "./service.ts";
import { tcp } from "./tcp.ts";
import { user } from "./user.ts";
import { vmBoot } from "./vm-boot.ts";

/** Every check that a recipe can name, by id. `registry.test.ts` compares this list with the folder. */
export const checksById = {
  "boot-time": bootTime,
  cis,
  command,
  file,
  http,
  hygiene,
  "log-absent": logAbsent,
  lynis,
  "no-egress": noEgress,
  "no-failed-units": noFailedUnits,
  package: packageCheck,
  "port-closed": portClosed,
  script,
  service,
  tcp,
  user,
  "vm-boot": vmBoot,
};

export const checks: CheckRegistry = new Map(Object.entries(checksById));
