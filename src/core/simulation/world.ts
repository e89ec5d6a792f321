import type { RolloutHands } from "../../ports/rollout-records.ts";
import type { Verdict } from "../checks/verdict.ts";
import { numberOf } from "../rollout/amount.ts";
import { hashText, type Ring } from "../rollout/cohort.ts";
import type { Action, Observation, Weight } from "../rollout/model.ts";
import type { Barred, PlannedInstance } from "../rollout/plan.ts";
import { Random } from "./random.ts";
import type { Fault, PolicySource, Scenario } from "./scenario.ts";
import type { Schedule } from "./schedule.ts";

export const TARGET = "new";
export const BACK = "good";

interface Host {
  readonly id: string;
  readonly zone: string;
  readonly model: string;
  running: string | undefined;
  /** What it ran before the last move. */
  before: string | undefined;
  healthy: boolean;
  sickSinceMs: number;
  /** Whether a move is under way. */
  moving: boolean;
  /** Taken out of service to be moved. */
  out: boolean;
  sequence: number;
  silentUntilMs: number;
  /** Counts what was done to it: what was planned for it before means nothing any more. */
  life: number;
  gone: boolean;
  /** A report that comes after the next one. */
  heldBack: Observation | undefined;
}

export interface WorldRequest {
  readonly scenario: Scenario;
  readonly gates: NonNullable<PolicySource["gates"]>;
  readonly schedule: Schedule;
  readonly seed: string;
  /** Failures that may be; the next one breaks the limit. */
  readonly errorsAllowed: () => number;
  tell(observation: Observation): void;
  note(text: string): void;
}

export const HOST_BOOTS_MS = 20_000;
const REPORT_EVERY_MS = 60_000;
/** How many groups of hosts report at moments of their own. */
const REPORT_GROUPS = 60;
const ON_TIME = { twice: 0, lateMs: 0, reordered: 0 } as const;
const GATE_MS = 1000;
const SWITCH_MS = 100;

/** Fleet, provider and metrics of a simulation: does what it is asked, as well as the scenario lets it, and reports. */
export class World implements RolloutHands {
  /** How often an action came again under its key. */
  repeated = 0;
  /** Moves that were really begun. */
  moves = 0;
  movesSinceSignal = 0;
  /** When the failure happened that broke the limit. */
  signalMs: number | undefined;
  readonly denied: Barred[] = [];
  /** What is rolled out at this moment. */
  private target = TARGET;
  private readonly images: Map<string, Scenario["image"]>;
  private readonly sick = new Set<Host>();
  /** Taken away by others than the rollout: by name, and so many more. */
  private readonly taken = new Set<string>();
  private unnamed = 0;
  readonly revoked: Barred[] = [];
  private readonly hosts: Host[] = [];
  private readonly byId = new Map<string, Host>();
  private readonly performed = new Set<string>();
  private readonly zones = new Map<string, { size: number; available: number; worstShare: number }>();
  private readonly random: Random;
  private readonly request: WorldRequest;
  private failures = 0;
  private providerAwayUntilMs = 0;
  private weight: Weight = "even";
  /** Of the whole fleet, what takes requests, and what of it runs the target. */
  private available = 0;
  private onTarget = 0;
  private mostTraffic = 0;
  private metrics: (Fault & { readonly fault: "metrics" })["answer"] | undefined;
  private reports: { readonly twice: number; readonly lateMs: number; readonly reordered: number } = ON_TIME;

  constructor(request: WorldRequest) {
    this.request = request;
    this.random = new Random(request.seed);
    const { fleet, image } = request.scenario;
    this.images = new Map([[TARGET, image]]);
    for (let index = 0; index < fleet.hosts; index += 1) this.addHost(BACK);
    const broken = fleet.unhealthy === undefined ? 0 : numberOf(fleet.unhealthy, fleet.hosts, "down");
    for (const host of this.hosts.slice(0, broken)) this.change(host, { healthy: false });
    for (const zone of this.zones.values()) zone.worstShare = zone.available / zone.size;
    this.letFlake();
    const every = (fleet.reportEvery ?? REPORT_EVERY_MS) / REPORT_GROUPS;
    for (let group = 0; group < REPORT_GROUPS; group += 1) this.request.schedule.at(every * (group + 1), () => this.reportGroup(group));
  }

  instances(): readonly PlannedInstance[] {
    const { first = 0, neverFirst = 0 } = this.request.scenario.fleet;
    const ringOf = (index: number): { readonly ring?: Ring } => {
      if (index < first) return { ring: "first" };
      return index >= this.hosts.length - neverFirst ? { ring: "never-first" } : {};
    };
    return this.hosts.flatMap((host, index) =>
      host.gone ? [] : [{ id: host.id, zone: host.zone, running: host.running, healthy: isAvailable(host), ...ringOf(index) }],
    );
  }

  /** Another image is rolled out from now on. What the rollout before it has under way stays taken until it is done. */
  begin(target: string, image: Scenario["image"]): void {
    this.target = target;
    this.images.set(target, image);
    this.weight = "even";
    this.onTarget = this.hosts.filter((host) => isAvailable(host) && host.running === target).length;
    for (const { id, moving } of this.hosts) if (moving) this.taken.add(id);
  }

  /** What a rollout that begins now has to be told first. */
  standing(): readonly Observation[] {
    return this.taken.size + this.unnamed === 0 ? [] : [this.others()];
  }

  private others(): Observation {
    return { type: "others", unavailable: this.unnamed + this.taken.size, ids: [...this.taken] };
  }

  /** Of the whole fleet, as it is. */
  get strain() {
    const { length: size } = this.hosts.filter(({ gone }) => !gone);
    return { size, down: size - this.available };
  }

  isMoving(id: string): boolean {
    return this.byId.get(id)?.moving === true;
  }

  get hasSick(): boolean {
    return this.sick.size > 0;
  }

  /** Those that have been unhealthy for so long, and that nobody has taken. */
  sickFor(spanMs: number): readonly string[] {
    const before = this.request.schedule.nowMs - spanMs;
    return [...this.sick].filter(({ id, sickSinceMs }) => sickSinceMs <= before && !this.taken.has(id)).map(({ id }) => id);
  }

  /** Somebody else than the rollout takes a host out of service. @param forMs  absent: as long as a new one takes to boot */
  takeAway(id: string, forMs = HOST_BOOTS_MS): void {
    const host = this.byId.get(id);
    if (host === undefined || host.gone) return;
    const { schedule, tell, note } = this.request;
    note(`${id} is taken ${host.healthy ? "for maintenance" : "to be replaced"}`);
    host.life += 1;
    const { life } = host;
    this.taken.add(id);
    this.change(host, { out: true });
    tell(this.others());
    this.reportOn(host);
    schedule.at(schedule.nowMs + forMs, () => {
      this.taken.delete(id);
      tell(this.others());
      if (host.life !== life) return;
      this.change(host, { healthy: true, out: false });
      this.reportOn(host);
      this.mayFailLater(host);
    });
  }

  count(running: string): number {
    return this.hosts.filter((host) => !host.gone && host.running === running && host.healthy).length;
  }

  /** Of each zone, in percent: what was available at the worst moment. */
  worst(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.zones].map(([zone, { worstShare }]) => [zone, Math.round(worstShare * 1000) / 10]));
  }

  /** Of a hundred requests, how many the new image got at most. */
  get traffic(): number {
    return Math.round(this.mostTraffic * 1000) / 10;
  }

  // The provider

  perform(action: Action): void {
    const { schedule } = this.request;
    if (schedule.nowMs < this.providerAwayUntilMs && action.kind !== "deny") throw new Error("the provider does not answer");
    if (this.performed.has(action.key)) {
      this.repeated += 1;
      return;
    }
    this.performed.add(action.key);
    switch (action.kind) {
      case "move":
        return this.move(action);
      case "ask-gate":
        return schedule.at(schedule.nowMs + GATE_MS, () => this.answerGate(action));
      case "weigh":
        this.weight = action.weight;
        this.noteTraffic();
        this.request.note(
          `the new image gets ${action.weight === "even" ? "what each instance gets" : `${action.weight} % of the traffic`}`,
        );
        return schedule.at(schedule.nowMs + SWITCH_MS, () => this.request.tell({ type: "action-done", key: action.key }));
      case "switch":
      case "retire":
        if (action.kind === "retire" && action.set === "new") this.keepOld();
        this.request.note(action.kind === "switch" ? `traffic goes to the ${action.to} set` : `the ${action.set} set ends`);
        return schedule.at(schedule.nowMs + SWITCH_MS, () => this.request.tell({ type: "action-done", key: action.key }));
      case "deny":
        this.denied.push({ digest: action.digest, reason: action.reason });
        return this.request.note(`${action.digest} is denied: ${action.reason}`);
    }
  }

  private move({ key, id, to, how }: Extract<Action, { kind: "move" }>): void {
    const host = this.byId.get(id);
    if (host === undefined || host.gone) return this.request.tell({ type: "action-failed", key, reason: "there is no such machine" });
    const { schedule } = this.request;
    this.moves += 1;
    if (this.signalMs !== undefined && to === TARGET) this.movesSinceSignal += 1;
    host.life += 1;
    host.moving = true;
    host.before = host.running;
    if (how === "in-place") this.change(host, { out: true });
    const { life } = host;
    const image = this.images.get(to);
    const hasFaults = isFaulty(image, host);
    // a machine that comes back takes as long as the scenario says that machines take
    const slow = hasFaults && this.random.percent(image.slowStart?.share ?? 0) ? image.slowStart?.boot : undefined;
    const bootMs = (slow ?? image?.boot ?? this.request.scenario.image.boot ?? HOST_BOOTS_MS) * this.random.between(0.8, 1.2);
    const comesUp = !hasFaults || !this.random.percent(image.bootFails ?? 0);
    schedule.at(schedule.nowMs + bootMs, () => {
      if (host.life !== life) return;
      host.moving = false;
      if (this.taken.delete(id)) this.request.tell(this.others());
      if (comesUp) {
        this.change(host, { running: to, healthy: true, out: false });
        this.reportOn(host);
        this.mayFailLater(host);
      } else {
        this.failed(to);
        if (how === "in-place") {
          this.change(host, { running: undefined, healthy: false, out: false });
          this.reportOn(host);
        } else this.request.tell({ type: "action-failed", key, reason: "the new machine did not come up" });
      }
    });
  }

  /** Of the two sets, the old one is what is left. */
  private keepOld(): void {
    for (const host of this.hosts) {
      host.life += 1;
      host.moving = false;
      if (host.running === this.target) this.change(host, { running: host.before, healthy: true });
    }
  }

  private mayFailLater(host: Host): void {
    const image = this.images.get(host.running ?? "");
    if (!isFaulty(image, host)) return;
    const { life, running = "" } = host;
    const afterMs = this.healthyForMs(image, host);
    if (afterMs === undefined) return;
    this.request.schedule.at(this.request.schedule.nowMs + afterMs, () => {
      if (host.life !== life) return;
      this.failed(running);
      this.change(host, { healthy: false });
      this.reportOn(host);
    });
  }

  /** Absent: for good. */
  private healthyForMs({ failsAfter, memoryLeak }: Scenario["image"], { id, running }: Host): number | undefined {
    if (failsAfter !== undefined && this.random.percent(failsAfter.share)) return failsAfter.after;
    if (memoryLeak === undefined) return undefined;
    const own = (hashText(`${id}\n${running ?? ""}\n${this.request.seed}`) % 1000) / 1000; // what it is asked to do is much the same each time
    return memoryLeak.least + own * (memoryLeak.most - memoryLeak.least);
  }

  private failed(digest: string): void {
    if (digest !== TARGET || this.target !== TARGET) return; // the signal is that of the first rollout
    this.failures += 1;
    if (this.failures > this.request.errorsAllowed()) this.signalMs ??= this.request.schedule.nowMs;
  }

  private answerGate({ key, gate }: Extract<Action, { kind: "ask-gate" }>): void {
    const asked = this.request.gates.find(({ name }) => name === gate);
    const limit = asked !== undefined && "errorRateBelow" in asked ? asked.errorRateBelow : 0;
    const rate = this.images.get(this.target)?.errorRate ?? 0;
    const told = this.metrics === undefined ? undefined : METRICS[this.metrics];
    const truth: Answer =
      rate < limit ? ["passed", `${rate} % of requests fail`] : ["failed", `${rate} % of requests fail, ${limit} % may`];
    const [verdict, detail] = told ?? truth;
    this.request.note(`gate ${gate}: ${verdict}: ${detail}`);
    this.request.tell({ type: "gate", key, verdict, detail });
  }

  // What goes wrong

  /** Does a fault of the timeline that concerns fleet, provider or metrics. */
  suffer(fault: Fault): void {
    const { schedule, note } = this.request;
    const until = schedule.nowMs + ("for" in fault ? (fault.for ?? 0) : 0);
    switch (fault.fault) {
      case "provider-timeouts":
        this.providerAwayUntilMs = until;
        return note("the provider does not answer");
      case "metrics":
        this.metrics = fault.answer;
        schedule.at(until, () => (this.metrics = undefined));
        return note(`metrics: ${fault.answer}`);
      case "zone-lost":
        for (const host of this.hosts) if (host.zone === fault.zone) this.silence(host, until);
        return note(`zone ${fault.zone} is lost`);
      case "silent":
        for (const host of this.hosts.slice(0, numberOf(fault.hosts, this.hosts.length, "down"))) this.silence(host, until);
        return note("hosts fall silent");
      case "reports":
        this.reports = { twice: fault.twice ?? 0, lateMs: fault.late ?? 0, reordered: fault.reordered ?? 0 };
        schedule.at(until, () => (this.reports = ON_TIME));
        return note("reports come late, twice or in another order");
      case "scale":
        this.scale(fault.by);
        return note(`scaled by ${fault.by}`);
      case "revoked":
        return this.revoke(fault.image === "back" ? BACK : TARGET, fault.reason);
      case "others":
        schedule.at(until, () => this.takeUnnamed(0));
        note(`${fault.unavailable} are taken by others`);
        return this.takeUnnamed(fault.unavailable);
      default:
        return;
    }
  }

  private revoke(digest: string, reason: string): void {
    this.revoked.push({ digest, reason });
    this.request.note(`${digest} is revoked`);
    this.request.tell({ type: "revoked", digest, reason });
  }

  private takeUnnamed(count: number): void {
    this.unnamed = count;
    this.request.tell(this.others());
  }

  private silence(host: Host, untilMs: number): void {
    host.silentUntilMs = Math.max(host.silentUntilMs, untilMs);
    this.request.schedule.at(untilMs, () => this.reportOn(host));
  }

  private scale(by: number): void {
    for (let count = 0; count < by; count += 1) {
      const host = this.addHost(BACK);
      this.request.tell({ type: "joined", instance: { id: host.id, zone: host.zone, running: host.running, healthy: host.healthy } });
    }
    for (const host of by < 0 ? this.hosts.filter(({ gone }) => !gone).slice(by) : []) {
      this.change(host, { gone: true });
      this.request.tell({ type: "left", id: host.id });
    }
  }

  private letFlake(): void {
    const { flaky } = this.request.scenario.fleet;
    if (flaky === undefined) return;
    const { schedule } = this.request;
    for (const host of this.hosts) {
      if (!this.random.percent(flaky.share)) continue;
      const begin = (): void => {
        if (host.gone) return;
        this.change(host, { healthy: false });
        this.reportOn(host);
        schedule.at(schedule.nowMs + flaky.for, () => {
          this.change(host, { healthy: true });
          this.reportOn(host);
          schedule.at(schedule.nowMs + flaky.every, begin);
        });
      };
      schedule.at(this.random.between(0, flaky.every), begin);
    }
  }

  // Hosts

  private addHost(running: string): Host {
    const { fleet } = this.request.scenario;
    const index = this.hosts.length;
    const models = fleet.models ?? ["any"];
    const host: Host = {
      id: `host-${String(index + 1).padStart(String(fleet.hosts).length, "0")}`,
      zone: `zone-${(index % (fleet.zones ?? 1)) + 1}`,
      model: models[index % models.length] ?? "any",
      ...{
        running,
        before: undefined,
        healthy: true,
        sickSinceMs: 0,
        moving: false,
        out: false,
        sequence: 0,
        silentUntilMs: 0,
        life: 0,
        gone: false,
        heldBack: undefined,
      },
    };
    this.hosts.push(host);
    this.byId.set(host.id, host);
    const zone = this.zones.get(host.zone) ?? { size: 0, available: 0, worstShare: 1 };
    zone.size += 1;
    zone.available += 1;
    this.available += 1;
    this.zones.set(host.zone, zone);
    return host;
  }

  private change(host: Host, change: Partial<Pick<Host, "running" | "healthy" | "out" | "gone">>): void {
    const zone = this.zones.get(host.zone);
    if (zone === undefined) return;
    const before = isAvailable(host);
    this.serves(host, -1);
    if (change.gone === true && !host.gone) zone.size -= 1;
    if (change.healthy === false && host.healthy) host.sickSinceMs = this.request.schedule.nowMs;
    Object.assign(host, change);
    if (host.healthy || host.gone) this.sick.delete(host);
    else this.sick.add(host);
    this.serves(host, 1);
    zone.available += Number(isAvailable(host)) - Number(before);
    if (host.gone) return;
    zone.worstShare = Math.min(zone.worstShare, zone.available / zone.size);
  }

  private serves(host: Host, by: 1 | -1): void {
    if (!isAvailable(host)) return;
    this.available += by;
    if (host.running === this.target) this.onTarget += by;
    if (by === 1) this.noteTraffic();
  }

  /** A weight counts only while there are both: else who is there gets all. */
  private noteTraffic(): void {
    if (this.onTarget === 0) return;
    const share = this.weight === "even" || this.onTarget === this.available ? this.onTarget / this.available : this.weight / 100;
    this.mostTraffic = Math.max(this.mostTraffic, share);
  }

  private reportOn(host: Host): void {
    const { schedule, tell } = this.request;
    if (host.gone || schedule.nowMs < host.silentUntilMs) return;
    host.sequence += 1;
    const { id, sequence } = host;
    // one that is being moved is seen by the provider, and runs nothing yet
    const running = host.out ? undefined : host.running;
    const report: Observation = { type: "report", id, sequence, running, healthy: host.healthy && !host.out };
    const { twice, lateMs, reordered } = this.reports;
    if (reordered > 0 && this.random.percent(reordered) && host.heldBack === undefined) {
      host.heldBack = report;
      return;
    }
    const copies = twice > 0 && this.random.percent(twice) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      if (lateMs === 0) tell(report);
      else schedule.at(schedule.nowMs + this.random.between(0, lateMs), () => tell(report));
    }
    if (host.heldBack === undefined) return;
    tell(host.heldBack);
    host.heldBack = undefined;
  }

  private reportGroup(group: number): void {
    for (let index = group; index < this.hosts.length; index += REPORT_GROUPS) {
      const host = this.hosts[index];
      if (host !== undefined) this.reportOn(host);
    }
    const every = this.request.scenario.fleet.reportEvery ?? REPORT_EVERY_MS;
    this.request.schedule.at(this.request.schedule.nowMs + every, () => this.reportGroup(group));
  }
}

/** Whether an image has its faults on that host; what nothing is said about has none. */
const isFaulty = (image: Scenario["image"] | undefined, { model }: Host): image is Scenario["image"] =>
  image !== undefined && (image.onlyModel === undefined || image.onlyModel === model);

const isAvailable = ({ healthy, out, gone }: Host): boolean => healthy && !out && !gone;

type Answer = readonly [verdict: Verdict, detail: string];

/** What broken metrics come to. None of it is an answer that lets a wave pass. */
const METRICS: Readonly<Record<(Fault & { readonly fault: "metrics" })["answer"], Answer>> = {
  down: ["error", "the metrics do not answer"],
  empty: ["inconclusive", "no samples"],
  nan: ["inconclusive", "the value is not a number"],
  constant: ["inconclusive", "the value has not changed for longer than real requests could leave it"],
  "wrong-name": ["error", "no metric has this name"],
};
