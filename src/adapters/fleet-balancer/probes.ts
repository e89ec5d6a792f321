import type { InstanceHealth } from "../../core/fleet/instance.ts";
import type { FleetHealth } from "../../core/fleet/model.ts";
import type { Cell, CellState } from "../../ports/cells.ts";

/** What is asked of an instance; a cell has all of it. */
export interface Probed extends Pick<Cell, "connect"> {
  readonly state: Pick<CellState, "startedAt">;
  exec(
    argv: readonly string[],
    options: { readonly timeoutMs: number },
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
  http(request: { readonly url: string; readonly timeoutMs: number }): Promise<{ readonly status: number }>;
}

/** Looks at the health of instances that no load balancer looks at, at the pace of their fleet. */
export interface Probes {
  look(id: string, instance: Probed): Promise<Seen>;
  forget(id: string): void;
}

export interface Seen {
  readonly health: InstanceHealth;
  readonly why: string;
}

interface Streak extends Seen {
  readonly good: number;
  readonly bad: number;
  readonly atMs: number;
}

export function probes({ probe, intervalMs, timeoutMs, healthyAfter, unhealthyAfter }: FleetHealth): Probes {
  const streaks = new Map<string, Streak>();
  /** Why it is not well; nothing: it is. */
  const ask = async (instance: Probed): Promise<string | undefined> => {
    if (probe.kind === "tcp") {
      const answer = await instance.connect(probe.port, timeoutMs);
      return answer === "open" ? undefined : `port ${probe.port}: ${answer}`;
    }
    if (probe.kind === "command") {
      const { code, stderr, stdout } = await instance.exec(probe.argv, { timeoutMs });
      return code === 0 ? undefined : `${probe.argv[0] ?? ""} ends with ${code}: ${(stderr || stdout).trim().slice(-200)}`;
    }
    const { status } = await instance.http({ url: `http://127.0.0.1:${probe.port}${probe.path}`, timeoutMs });
    return status >= 200 && status < 400 ? undefined : `${probe.path} answers ${status}`;
  };
  return {
    look: async (id, instance) => {
      const before = streaks.get(id);
      if (before !== undefined && performance.now() - before.atMs < intervalMs) return before;
      const atMs = performance.now();
      const why = await ask(instance).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
      const streak = next(before, why, isOld(instance, healthyAfter * intervalMs), { healthyAfter, unhealthyAfter }, atMs);
      streaks.set(id, streak);
      return streak;
    },
    forget: (id) => void streaks.delete(id),
  };
}

/** One that has run for a while before anybody looked is judged by the first look. */
const isOld = ({ state }: Probed, afterMs: number): boolean => Date.now() - Date.parse(state.startedAt) > afterMs;

function next(
  before: Streak | undefined,
  why: string | undefined,
  isOldOne: boolean,
  { healthyAfter, unhealthyAfter }: Pick<FleetHealth, "healthyAfter" | "unhealthyAfter">,
  atMs: number,
): Streak {
  const good = why === undefined ? (before?.good ?? 0) + 1 : 0;
  const bad = why === undefined ? 0 : (before?.bad ?? 0) + 1;
  const known = before?.health ?? "unknown";
  const isFirst = before === undefined && isOldOne;
  const health =
    good >= healthyAfter || (isFirst && good > 0) ? "healthy" : bad >= unhealthyAfter || (isFirst && bad > 0) ? "unhealthy" : known;
  return { health, why: why ?? "", good, bad, atMs };
}
