import type { Cell } from "../../ports/cells.ts";

/** What systemd says about a unit (systemctl(1), `show`). */
export interface UnitState {
  readonly unit: string;
  readonly loaded: string;
  readonly active: string;
  readonly sub: string;
  /** `enabled`, `static`, `disabled` …; empty for a unit without a file. */
  readonly file: string;
  readonly restarts: number;
  readonly exit: string;
  readonly result: string;
  /** Microseconds after boot at which it became active. */
  readonly since: string;
}

const PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,ExecMainStatus,Result,ActiveEnterTimestampMonotonic";
const ASK_MS = 10_000;

/** In the order asked. @throws Error when systemd does not answer */
export async function unitsOf(cell: Cell, units: readonly string[], signal: AbortSignal): Promise<readonly UnitState[]> {
  const asked = await cell.exec(["systemctl", "show", `--property=${PROPERTIES}`, "--", ...units], { timeoutMs: ASK_MS, signal });
  if (asked.code !== 0 || asked.timedOut) throw new Error(`systemctl show: ${asked.stderr.trim() || `ended with ${asked.code}`}`);
  const blocks = asked.stdout.trim().split(/\n\n+/);
  if (blocks.length !== units.length) throw new Error(`systemctl show tells of ${blocks.length} units, not ${units.length}`);
  return units.map((unit, index) => {
    const fields = new Map((blocks[index] ?? "").split("\n").map((line) => [line.split("=")[0] ?? "", line.slice(line.indexOf("=") + 1)]));
    const field = (name: string): string => fields.get(name) ?? "";
    return {
      unit,
      loaded: field("LoadState"),
      active: field("ActiveState"),
      sub: field("SubState"),
      file: field("UnitFileState"),
      restarts: Number(field("NRestarts")) || 0,
      exit: field("ExecMainStatus"),
      result: field("Result"),
      since: field("ActiveEnterTimestampMonotonic"),
    };
  });
}

/** States of a unit file in which something starts the unit without anybody's doing. */
const STARTS_ITSELF = ["enabled", "enabled-runtime", "static", "alias", "indirect", "generated"];

/** What is wrong with a unit that should be up. */
export function unitProblem(unit: UnitState, mustBeEnabled: boolean): string | undefined {
  if (unit.loaded === "not-found") return `there is no unit ${unit.unit}`;
  if (unit.loaded === "masked") return `${unit.unit} is masked`;
  if (unit.active !== "active") {
    const why = unit.result === "" || unit.result === "success" ? "" : `, ${unit.result}${unit.exit === "0" ? "" : ` (exit ${unit.exit})`}`;
    return `${unit.unit} is ${unit.active} (${unit.sub})${why}`;
  }
  if (mustBeEnabled && !STARTS_ITSELF.includes(unit.file))
    return `${unit.unit} is ${unit.file === "" ? "not enabled" : unit.file}: it does not start at boot`;
  return undefined;
}
