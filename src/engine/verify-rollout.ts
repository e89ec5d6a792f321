import type { Moment } from "../core/rollout/decide.ts";
import { ENDS, type Action, type Observation, type RolloutStatus } from "../core/rollout/model.ts";
import { Rollout } from "../core/rollout/rollout.ts";
import { canonicalJson } from "../core/json.ts";
import type { FleetRolloutRecords, RolloutSummary } from "../ports/fleet-records.ts";
import { findRollout } from "./find-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { planHashOf } from "./plan-fleet-rollout.ts";

/** Where the record of a rollout says something else than what follows from what it was told. */
export interface RolloutDifference {
  /** Which of the moments, from 1; 0: before the first. */
  readonly moment: number;
  /** Wall time of that moment, ISO 8601. */
  readonly at?: string;
  readonly what: string;
  readonly recorded: string;
  readonly replayed: string;
}

export interface VerifiedRollout {
  readonly id: string;
  readonly fleet: string;
  readonly target: string;
  readonly status: RolloutStatus;
  readonly reason: string;
  readonly over: boolean;
  /** What was held against the records. */
  readonly compared: { readonly moments: number; readonly actions: number; readonly states: number; readonly deeds: number };
  /** What could not be compared, and why. */
  readonly notes: readonly string[];
  /** The first one; absent: the record is what follows from it. */
  readonly difference?: RolloutDifference;
}

type VerifyParts = Pick<FleetParts, "records" | "catalog" | "digestOf">;

/**
 * Replays what was told to a rollout, with nothing but its records, and holds each decision against what was written down when it was
 * made: actions, states, the deny list, the audit log.
 *
 * @throws ROLLOUT_NOT_FOUND, REFERENCE_AMBIGUOUS
 */
export async function verifyRollout(parts: VerifyParts, reference: string | undefined): Promise<VerifiedRollout> {
  const summary = findRollout(parts.records, reference);
  const replay = new Replay(parts, summary, parts.records.open(summary.id));
  const difference = replay.moments() ?? replay.end() ?? (await replay.elsewhere());
  return replay.outcome(difference);
}

class Replay {
  private readonly parts: VerifyParts;
  private readonly summary: RolloutSummary;
  private readonly records: FleetRolloutRecords;
  private readonly rollout: Rollout;
  private readonly told: readonly Moment[];
  private readonly times: readonly string[];
  private readonly decided: Action[] = [];
  private readonly notes: string[] = [];
  private readonly compared = { moments: 0, actions: 0, states: 0, deeds: 0 };

  constructor(parts: VerifyParts, summary: RolloutSummary, records: FleetRolloutRecords) {
    this.parts = parts;
    this.summary = summary;
    this.records = records;
    const { plan, planHash, startedBy, nowMs } = records.origin;
    this.rollout = new Rollout(plan, planHash, startedBy, nowMs);
    this.told = records.moments();
    this.times = records.momentTimes();
  }

  outcome(difference: RolloutDifference | undefined): VerifiedRollout {
    const { id, fleet, target } = this.summary;
    const { status, reason } = this.rollout;
    return {
      ...{ id, fleet, target, status, reason, over: ENDS.has(status), compared: this.compared, notes: this.notes },
      ...(difference === undefined ? {} : { difference }),
    };
  }

  moments(): RolloutDifference | undefined {
    const { plan, planHash, nowMs } = this.records.origin;
    const hash = planHashOf(this.parts, plan);
    if (hash !== planHash) return this.differs(0, "hash of the plan", planHash, hash);
    const begun = new Map(this.records.begun().map((each) => [each.number, each]));
    const states = Map.groupBy(this.records.shown(), ({ moment }) => moment);
    const asked = new Set<string>();
    let before = nowMs;
    for (const [index, moment] of this.told.entries()) {
      const number = index + 1;
      if (moment.nowMs < before) return this.differs(number, "time", `${moment.nowMs} ms`, `not before ${before} ms`);
      before = moment.nowMs;
      const stranger = moment.observations.find((told) => this.isStranger(told, asked));
      if (stranger !== undefined) return this.differs(number, "an answer", textOf(stranger), "nothing of that kind was asked for");
      const { actions } = this.rollout.tick(moment.observations, moment.nowMs);
      for (const action of actions) {
        this.decided.push(action);
        asked.add(action.key);
        const recorded = begun.get(this.decided.length);
        if (recorded === undefined) continue;
        this.compared.actions += 1;
        const what = `action ${this.decided.length}`;
        if (canonicalJson(recorded.action) !== canonicalJson(action))
          return this.differs(number, what, textOf(recorded.action), textOf(action));
        if (recorded.moment < number)
          return this.differs(number, what, `begun after moment ${recorded.moment}`, `decided at moment ${number}: ${textOf(action)}`);
      }
      for (const { status, reason } of states.get(number) ?? []) {
        this.compared.states += 1;
        const different = this.stateDiffers(number, status, reason);
        if (different !== undefined) return different;
      }
      this.compared.moments += 1;
    }
    const [surplus] = [...begun].filter(([number]) => number > this.decided.length);
    if (surplus !== undefined) return this.differs(this.told.length, `action ${surplus[0]}`, textOf(surplus[1].action), "no such action");
    return undefined;
  }

  /** What the record says of the whole. */
  end(): RolloutDifference | undefined {
    const { done } = this.records;
    const last = this.told.length;
    const { status, reason } = this.rollout;
    if (done > this.decided.length) return this.differs(last, "actions", `${done} were begun`, `${this.decided.length} were decided`);
    if (done > this.compared.actions)
      this.notes.push(`${done - this.compared.actions} of ${done} actions were not written down one by one`);
    const isOver = ENDS.has(status);
    const { endedAt } = this.summary;
    if (endedAt !== undefined) {
      if (!isOver) return this.differs(last, "end", `${this.summary.status}, at ${endedAt}`, `it is ${status}, and not over`);
      const different = this.stateDiffers(last, this.summary.status, this.summary.reason);
      if (different !== undefined) return different;
    } else if (isOver) this.notes.push("it is over, and whoever carried it died before that was shown: carry the fleet on once");
    else this.notes.push(`it is not over: ${status}${reason === "" ? "" : `, because ${reason}`}`);
    const unread = this.records.pending().length;
    if (isOver && unread > 0) this.notes.push(`${unread} ${unread === 1 ? "command was" : "commands were"} given too late to be read`);
    return undefined;
  }

  /** What follows from it elsewhere: the deny list of the fleet, and the audit log. */
  async elsewhere(): Promise<RolloutDifference | undefined> {
    const { id, fleet } = this.summary;
    const { ledger } = await this.parts.catalog();
    const deeds = (await ledger.records()).flatMap((record) =>
      record.subject === fleet && record.details !== null && "what" in record.details ? [{ ...record.details, action: record.action }] : [],
    );
    // a name may have been used before, in records that are gone
    const from = deeds.findLastIndex(({ action, rollout }) => action === "rollout-started" && rollout === id);
    const mine = deeds.slice(Math.max(0, from)).filter(({ rollout }) => rollout === id);
    const started = from < 0 ? undefined : mine[0];
    if (started === undefined) this.notes.push("the audit log does not say that it was started");
    else {
      this.compared.deeds += 1;
      const { planHash } = this.records.origin;
      if (started.planHash !== undefined && started.planHash !== planHash)
        return this.differs(0, "plan in the audit log", started.planHash, planHash);
    }
    const ended = mine.find(({ action }) => action === "rollout-ended");
    const { status } = this.rollout;
    if (ended !== undefined) {
      this.compared.deeds += 1;
      if (ended.what !== `${id} ${status}`) return this.differs(this.told.length, "end in the audit log", ended.what, `${id} ${status}`);
    } else if (ENDS.has(status)) this.notes.push("the audit log does not say that it ended");
    for (const action of this.decided.slice(0, this.records.done)) {
      if (action.kind !== "deny") continue;
      const isDenied = this.parts.records.denied(fleet).some(({ digest }) => digest === action.digest);
      const wasAllowed = deeds.some((deed) => deed.action === "image-allowed" && deed.image === action.digest);
      if (!isDenied && !wasAllowed) return this.differs(this.told.length, "deny list", "nothing", action.digest);
      this.compared.deeds += 1;
    }
    return undefined;
  }

  private stateDiffers(moment: number, status: RolloutStatus, reason: string): RolloutDifference | undefined {
    const { rollout } = this;
    if (status === rollout.status && reason === rollout.reason) return undefined;
    return this.differs(moment, "state", stateText(status, reason), stateText(rollout.status, rollout.reason));
  }

  /** Answers to questions of other rollouts and of healing are passed over by the rollout, too. */
  private isStranger(told: Observation, asked: ReadonlySet<string>): boolean {
    return "key" in told && told.key.startsWith(`${this.summary.id}/`) && !asked.has(told.key);
  }

  private differs(moment: number, what: string, recorded: string, replayed: string): RolloutDifference {
    const at = this.times[moment - 1];
    return { moment, ...(at === undefined ? {} : { at }), what, recorded, replayed };
  }
}

const stateText = (status: string, reason: string): string => (reason === "" ? status : `${status}: ${reason}`);

function textOf(value: Action | Observation): string {
  if ("kind" in value && value.kind === "move") return `move ${value.key} to ${value.to}, ${value.how}`;
  return canonicalJson(value);
}
