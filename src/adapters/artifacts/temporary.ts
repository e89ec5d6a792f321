import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namesIn } from "../local-store/files.ts";
import { startTimeOf } from "../local-store/owners.ts";

const PREFIX = "bakehouse-artifact-";
let count = 0;

/** A path in the folder for temporary files that names who made it; what a killed process left there is removed on the way. */
export function temporaryPath(): string {
  for (const name of namesIn(tmpdir()).filter((each) => each.startsWith(PREFIX))) {
    const [, pid, start] = /^bakehouse-artifact-(\d+)-(\d+)-\d+$/.exec(name) ?? [];
    if (pid !== undefined && startTimeOf(Number(pid)) !== Number(start)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  return join(tmpdir(), `${PREFIX}${process.pid}-${startTimeOf(process.pid) ?? 0}-${count++}`);
}
