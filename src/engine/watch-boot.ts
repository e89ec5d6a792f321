import { hopelessIn, readinessIn } from "../core/boot/readiness.ts";
import type { BootOutcome, Expected, WatchedBoot } from "../core/boot/watched-boot.ts";
import type { Clock } from "../ports/host.ts";
import type { Machine, MachineAnswer } from "../ports/machines.ts";

export interface WatchOptions {
  readonly timeoutMs: number;
  readonly clock: Pick<Clock, "elapsedMs">;
  /** @throws when the wait is over for another reason */
  sleep(milliseconds: number): Promise<void>;
}

/** Often enough to measure to a tenth of a second, seldom enough to cost the guest nothing. */
const LOOK_EVERY_MS = 100;
/** Through QEMU's network, an emulated machine takes its time even when it is up. */
const ANSWER_TIMEOUT_MS = 5000;

/** Watches a machine come up. Looks at its console, its answers and whether it lives; changes nothing. */
export async function watchBoot(machine: Machine, expected: Expected, options: WatchOptions): Promise<WatchedBoot> {
  const startedMs = options.clock.elapsedMs();
  const elapsed = (): number => options.clock.elapsedMs() - startedMs;
  let readySince: number | undefined;
  let readyAt: { readonly elapsedMs: number; readonly cpuSeconds: number } | undefined;
  for (;;) {
    const look = await lookAt(machine, expected);
    const now = elapsed();
    const result = (outcome: BootOutcome, detail: string): WatchedBoot => ({
      ...{ outcome, detail, failedUnits: readinessIn(machine.serial())?.failed ?? [] },
      ...(look.answer === undefined ? {} : { answer: look.answer }),
      ...(outcome === "ready" && readyAt !== undefined ? readyAt : { elapsedMs: now, cpuSeconds: machine.cpuSeconds() }),
    });
    if (look.state === "ready") {
      readySince ??= now;
      readyAt ??= { elapsedMs: now, cpuSeconds: machine.cpuSeconds() };
      if (now - readySince >= expected.stayMs) return result("ready", look.detail);
    } else if (readySince !== undefined)
      return result("left", `${look.detail} ${Math.round((now - readySince) / 100) / 10} s after it was ready`);
    else if (look.state !== "waiting") return result(look.state, look.detail);
    if (now >= options.timeoutMs) return result("timeout", look.detail);
    await options.sleep(LOOK_EVERY_MS);
  }
}

interface Look {
  readonly state: "ready" | "waiting" | "ended" | "hopeless" | "wrong";
  readonly detail: string;
  readonly answer?: MachineAnswer;
}

async function lookAt(machine: Machine, expected: Expected): Promise<Look> {
  const { http, units } = expected;
  const answer = http === undefined ? undefined : await machine.http({ ...http, timeoutMs: ANSWER_TIMEOUT_MS });
  const said = readinessIn(machine.serial());
  const seen = answer === undefined ? {} : { answer };
  const wrongUnit = units.find((unit) => said !== undefined && said.units.get(unit) !== "active");
  if (wrongUnit !== undefined) return { state: "wrong", detail: `${wrongUnit} is ${said?.units.get(wrongUnit) ?? "unknown"}`, ...seen };
  const answers = http === undefined || answer?.status === http.status;
  if (answers && (units.length === 0 || said !== undefined) && (http !== undefined || said !== undefined))
    return { state: "ready", detail: readyDetail(expected, answer), ...seen };
  const hopeless = hopelessIn(machine.serial());
  if (hopeless !== undefined) return { state: "hopeless", detail: hopeless, ...seen };
  if (!machine.isAlive()) return { state: "ended", detail: "the machine switched itself off", ...seen };
  return { state: "waiting", detail: waitingDetail(expected, answer), ...seen };
}

const readyDetail = ({ http, units }: Expected, answer: MachineAnswer | undefined): string =>
  [
    ...(http === undefined ? [] : [`port ${http.port} ${http.path} answered ${answer?.status ?? http.status}`]),
    ...(units.length === 0 ? [] : [`${units.join(", ")} active`]),
    ...(http === undefined && units.length === 0 ? ["everything was started"] : []),
  ].join(", ");

function waitingDetail({ http }: Expected, answer: MachineAnswer | undefined): string {
  if (http === undefined) return "it has not said that everything is started";
  return `port ${http.port} ${http.path} ${answer === undefined ? "does not answer" : `answered ${answer.status} instead of ${http.status}`}`;
}
