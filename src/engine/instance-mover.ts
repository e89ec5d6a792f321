import { BakehouseError } from "../core/errors.ts";
import type { ImageDigest } from "../core/digest.ts";
import { differOnlyInVolume, type FleetRelease } from "../core/fleet/release.ts";
import type { InstanceReport } from "../core/fleet/instance.ts";
import type { Remedy } from "../core/fleet/heal.ts";
import type { FleetSlot } from "../core/fleet/slots.ts";
import { shareWeights } from "../core/fleet/share-weights.ts";
import type { Action, Observation, Weight } from "../core/rollout/model.ts";
import type { Verdict } from "../core/checks/verdict.ts";
import type { FleetProvider } from "../ports/fleet-provider.ts";
import type { RolloutHands } from "../ports/rollout-records.ts";

export interface MoverParts {
  readonly provider: FleetProvider;
  /** @throws IMAGE_NOT_FOUND, IMAGE_REVOKED */
  releaseOf(image: ImageDigest): FleetRelease;
  /** As the fleet was seen last. */
  reports(): readonly InstanceReport[];
  /** What a rollout is told when something is done, or cannot be. */
  tell(observation: Observation & { readonly key: string }): void;
  /** Something ended: look again now. */
  wake(): void;
  deny(digest: ImageDigest, reason: string): void;
  askGate(gate: string, signal: AbortSignal): Promise<{ readonly verdict: Verdict; readonly detail: string }>;
  zoneOf(slot: string): string;
  /** Whether what is in a slot ran the target before: it is of both sets of blue/green. */
  isSettled(slot: string): boolean;
  digestOf(text: string): string;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** How long requests may take to end when an instance is taken out. */
  readonly drainMs: number;
  /** How long a move or mending may take. A rollout keeps its own deadlines. */
  readonly timeoutMs: number;
  /** Whether nobody else carries the fleet on by now. */
  isInCharge(): boolean;
}

/** What is under way for one slot. */
export interface Job {
  readonly key: string;
  readonly slot: string;
  /** It stays in service until the other is there. */
  readonly keepsOld: boolean;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

type Move = Extract<Action, { readonly kind: "move" }>;

const POLL_MS = 50;
/** Between two tries to reach a machine that does not answer. */
const REACH_MS = 1000;
/** How long a provider may take to stop when it is called off. A guess; after that nobody waits for it. */
const CALLED_OFF_MS = 10_000;

/**
 * Brings instances to releases: what a rollout decided, and what heals a fleet. One job for each slot at a time; a newer one for the same
 * slot ends the one before and waits for it. Each looks at what is there and does what is missing, so that it can be begun again by
 * another process.
 */
export class InstanceMover implements RolloutHands {
  private readonly parts: MoverParts;
  private readonly jobs = new Map<string, Job>();
  private readonly all = new Set<Promise<void>>();
  private readonly asking = new Set<AbortController>();
  /** What is rolled out, and how much of the traffic it gets. */
  private weighed: { readonly target: string; readonly weight: Weight } | undefined;
  /** The weights that instances were given by this process. */
  private readonly given = new Map<string, number>();
  private balanced = 0;
  private look: { readonly reports: readonly InstanceReport[]; readonly byId: ReadonlyMap<string, InstanceReport> } | undefined;

  constructor(parts: MoverParts) {
    this.parts = parts;
  }

  /** What the rollout under way brings, and its share of traffic at this moment. */
  aim(target: string | undefined, weight: Weight): void {
    this.weighed = target === undefined ? undefined : { target, weight };
  }

  busy(slot: string): Job | undefined {
    return this.jobs.get(slot);
  }

  busySlots(): ReadonlySet<string> {
    return new Set(this.jobs.keys());
  }

  /** Whether something is under way that is about no instance in particular. */
  get isAtFleet(): boolean {
    return this.jobs.has(FLEET);
  }

  get underWay(): number {
    return this.jobs.size;
  }

  perform(action: Action): void {
    const { key } = action;
    switch (action.kind) {
      case "move":
        return this.begin(key, action.id, action.how !== "in-place", (signal) => this.reach(() => this.move(action, signal), signal));
      case "switch":
        return this.begin(key, FLEET, true, () => this.switchTo(action.to), { tellsDone: true });
      case "retire":
        return this.begin(key, FLEET, true, (signal) => this.retire(action.set, signal), { tellsDone: true });
      case "weigh":
        if (this.weighed !== undefined) this.weighed = { ...this.weighed, weight: action.weight };
        return this.begin(key, FLEET, true, () => this.spread(), { tellsDone: true });
      case "deny":
        this.parts.deny(action.digest as ImageDigest, action.reason);
        return;
      case "ask-gate":
        return this.ask(key, action.gate);
    }
  }

  /** Mends what healing found. What fails is seen by the next look. */
  mend(remedy: Remedy, key: string): void {
    const { provider, timeoutMs: withinMs } = this.parts;
    if (remedy.kind === "end") return this.begin(key, remedy.instance, false, (signal) => this.end(remedy.instance, signal), { withinMs });
    const { slot } = remedy;
    if (remedy.kind === "admit") return this.begin(key, slot.slot, false, () => this.admit(remedy.instance), { withinMs });
    if (remedy.kind === "bring")
      return this.begin(key, slot.slot, false, (signal) => this.activate(remedy.instance, this.parts.releaseOf(remedy.image), signal), {
        withinMs,
      });
    const launch = async (signal: AbortSignal): Promise<void> => {
      const place = this.placeFor(slot, key);
      await provider.launch(place, this.parts.releaseOf(remedy.image), signal);
      await this.admit(place.id);
      if (remedy.kind === "replace") await this.end(remedy.instance, signal);
    };
    this.begin(key, slot.slot, remedy.kind === "replace", launch, { withinMs });
  }

  /** Waits until nothing is under way; with `stop`, ends it where it may be ended. */
  async settle({ stop }: { readonly stop: boolean }): Promise<void> {
    if (stop) for (const each of [...[...this.jobs.values()].map((job) => job.stop), ...this.asking]) each.abort();
    while (this.all.size > 0) await Promise.all(this.all);
  }

  private begin(
    key: string,
    slot: string,
    keepsOld: boolean,
    work: (signal: AbortSignal) => Promise<void>,
    { tellsDone = false, withinMs }: { readonly tellsDone?: boolean; readonly withinMs?: number } = {},
  ): void {
    const earlier = this.jobs.get(slot);
    if (earlier?.key === key) return;
    earlier?.stop.abort();
    const stop = new AbortController();
    const run = async (): Promise<void> => {
      await earlier?.done;
      try {
        // called off before it began; of what is told to the fleet as a whole, each is done in its turn: a switch before the end of a set
        if (slot !== FLEET) stop.signal.throwIfAborted();
        await this.within(withinMs, stop, work);
        if (tellsDone) this.parts.tell({ type: "action-done", key });
      } catch (error) {
        if (!stop.signal.aborted || error instanceof TooLate)
          this.parts.tell({ type: "action-failed", key, reason: error instanceof Error ? error.message : String(error) });
      } finally {
        if (this.jobs.get(slot)?.key === key) this.jobs.delete(slot);
        this.parts.wake();
      }
    };
    const done = run();
    this.jobs.set(slot, { key, slot, keepsOld, stop, done });
    this.all.add(done);
    void done.finally(() => this.all.delete(done));
  }

  /** A provider that hangs holds nobody up for ever: neither the next job of its slot, nor the end of this process. */
  private async within(ms: number | undefined, stop: AbortController, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const over = new AbortController();
    const isOver = (): boolean => over.signal.aborted;
    const working = work(stop.signal).catch((error: unknown) => {
      throw tooLate ?? error;
    });
    let tooLate: TooLate | undefined;
    const calledOff = new Promise<never>((_, reject) => {
      const giveUp = async (): Promise<void> => {
        await this.parts.sleep(CALLED_OFF_MS, over.signal);
        if (!isOver()) reject(tooLate ?? new Error("the provider does not stop"));
      };
      if (stop.signal.aborted) void giveUp();
      else stop.signal.addEventListener("abort", () => void giveUp(), { once: true, signal: over.signal });
    });
    const limit = async (limitMs: number): Promise<void> => {
      await this.parts.sleep(limitMs, over.signal);
      if (isOver() || stop.signal.aborted) return;
      tooLate = new TooLate(`it was not done within ${limitMs / 1000} s`);
      stop.abort();
    };
    if (ms !== undefined) void limit(ms);
    try {
      await Promise.race([working, calledOff]);
    } finally {
      over.abort();
    }
  }

  /** A machine that does not answer is asked again for as long as a move may take. Then it is silent, which is for the rollout to judge. */
  private async reach(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    let isLate = false;
    void this.parts.sleep(this.parts.timeoutMs, over.signal).then(
      () => (isLate = !over.signal.aborted),
      () => undefined,
    );
    try {
      while (!isLate) {
        try {
          return await work();
        } catch (error) {
          if (!(error instanceof BakehouseError) || error.code !== "INSTANCE_UNREACHABLE") throw error;
        }
        await this.parts.sleep(REACH_MS, signal);
        signal.throwIfAborted();
      }
    } finally {
      over.abort();
    }
  }

  private async move({ key, id: slot, to, how }: Move, signal: AbortSignal): Promise<void> {
    const { provider } = this.parts;
    const image = to as ImageDigest;
    const release = this.parts.releaseOf(image);
    const alive = this.of(slot).filter(({ bootedAt }) => bootedAt !== undefined);
    const there = alive.find(({ running }) => running === to);
    const [only] = alive;
    // given, and called as its slot: if it cannot be reached, the provider says why
    if (there === undefined && !provider.can.replace) return this.activate(slot, release, signal);
    if (there === undefined && how !== "beside" && alive.length === 1 && only !== undefined && this.mayActivate(only, release))
      return this.activate(only.id, release, signal);
    const place = there ?? this.placeFor({ slot, zone: this.parts.zoneOf(slot) }, key);
    const others = this.of(slot).filter((report) => report.id !== place.id);
    if (how === "in-place") for (const { id } of others) await this.end(id, signal);
    if (there === undefined) await provider.launch(place, release, signal);
    if (how === "beside") return provider.admit(place.id, 0);
    await this.admit(place.id, image);
    if (how === "in-place") return;
    await this.untilServing(place.id, signal);
    for (const { id } of others) await this.end(id, signal);
  }

  private mayActivate({ running }: InstanceReport, release: FleetRelease): boolean {
    const { can } = this.parts.provider;
    if (!can.activate) return false;
    if (!can.replace) return true;
    return running !== undefined && differOnlyInVolume(this.parts.releaseOf(running), release);
  }

  private async activate(id: string, release: FleetRelease, signal: AbortSignal): Promise<void> {
    const { provider, drainMs } = this.parts;
    await provider.prepare?.(id, release, signal);
    await provider.drain(id, drainMs, signal);
    try {
      await provider.activate(id, release, signal);
    } catch (error) {
      await this.admit(id).catch(() => undefined); // whatever it runs now: the load balancer looks at its health; why it failed counts
      throw error;
    }
    await this.admit(id, release.image);
  }

  /** Where the image gets a share of the traffic, the others are told theirs first: weights mean something only beside each other. */
  private async admit(id: string, image?: ImageDigest): Promise<void> {
    const { provider } = this.parts;
    const wanted = this.weights({ id, image });
    for (const [other, weight] of wanted) if (other !== id && this.isWrong(other, weight)) await this.give(other, weight);
    const weight = wanted.get(id) ?? FULL;
    if (!this.parts.isInCharge()) throw new Error("another process carries the fleet on");
    this.given.set(id, weight);
    await provider.admit(id, weight);
  }

  /** What instance gets no traffic although it is well: the image is kept from it. */
  isKeptOut(id: string): boolean {
    return this.weights({ id }).get(id) === 0;
  }

  /** Instances come, go and die: so that what is on the target still gets its share together. */
  balance(): void {
    if (this.weighed === undefined || this.weighed.weight === "even" || this.jobs.has(WEIGHTS)) return;
    const wrong = [...this.weights()].filter(([id, weight]) => this.isWrong(id, weight));
    if (wrong.length === 0) return;
    this.balanced += 1;
    this.begin(`balance/${this.balanced}`, WEIGHTS, true, async () => {
      for (const [id, weight] of wrong) if (this.isWrong(id, weight)) await this.give(id, weight);
    });
  }

  private async give(id: string, weight: number): Promise<void> {
    this.given.set(id, weight);
    await this.parts.provider.admit(id, weight);
  }

  /** Those at which something else is done are let alone. */
  private isWrong(id: string, weight: number): boolean {
    const report = this.seen(id);
    return report !== undefined && !this.jobs.has(report.slot) && this.given.get(id) !== weight;
  }

  /** Of those that take traffic, with one that is let in, so that everything on the target gets its share together. */
  private weights(more?: { readonly id: string; readonly image?: ImageDigest | undefined }): ReadonlyMap<string, number> {
    const { weighed } = this;
    if (weighed === undefined || weighed.weight === "even") return new Map();
    const running = new Map(this.parts.reports().flatMap(({ id, serving, running: runs }) => (serving ? [[id, runs] as const] : [])));
    if (more !== undefined) running.set(more.id, more.image ?? this.seen(more.id)?.running);
    const isNew = (digest: ImageDigest | undefined): boolean => digest === weighed.target;
    const news = [...running.values()].filter(isNew).length;
    const { target, others } = shareWeights(weighed.weight, news, running.size - news);
    return new Map([...running].map(([id, digest]) => [id, isNew(digest) ? target : others]));
  }

  private async spread(): Promise<void> {
    this.given.clear();
    const isToHave = ({ serving, running, health }: InstanceReport): boolean =>
      // what is sick gets nothing when it looks well again, either
      serving || (running !== undefined && running === this.weighed?.target && (health === "healthy" || this.weighed.weight === 0));
    for (const report of this.parts.reports())
      if (isToHave(report) && !this.jobs.has(report.slot)) await this.admit(report.id, report.running); // a job lets its own in
  }

  private async switchTo(to: "new" | "old"): Promise<void> {
    const isIn = ({ slot, running }: InstanceReport): boolean =>
      (running === this.weighed?.target) === (to === "new") || this.parts.isSettled(slot);
    const alive = this.parts.reports().filter(({ bootedAt }) => bootedAt !== undefined);
    for (const report of alive.filter(isIn)) await this.parts.provider.admit(report.id, FULL);
    for (const report of alive.filter((each) => !isIn(each))) await this.parts.provider.admit(report.id, 0);
  }

  private async retire(set: "new" | "old", signal: AbortSignal): Promise<void> {
    const gone = this.parts
      .reports()
      .filter(
        ({ slot, running, provided }) =>
          ((running ?? provided) === this.weighed?.target) === (set === "new") && !this.parts.isSettled(slot),
      );
    await Promise.all(gone.map(({ id }) => this.end(id, signal)));
  }

  private async end(id: string, signal: AbortSignal): Promise<void> {
    const { provider, drainMs } = this.parts;
    await provider.drain(id, drainMs, signal);
    signal.throwIfAborted();
    await provider.terminate(id);
  }

  private async untilServing(id: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const report = this.seen(id);
      if (report?.health === "healthy" && report.serving) return;
      await this.parts.sleep(POLL_MS, signal);
    }
  }

  private ask(key: string, gate: string): void {
    const stop = new AbortController();
    this.asking.add(stop);
    const ask = async (): Promise<void> => {
      let answer: Awaited<ReturnType<MoverParts["askGate"]>> = { verdict: "error", detail: "no answer" };
      try {
        await this.within(undefined, stop, async (signal) => {
          answer = await this.parts.askGate(gate, signal);
        });
      } catch (error) {
        answer = { verdict: "error", detail: error instanceof Error ? error.message : String(error) };
      }
      this.asking.delete(stop);
      this.parts.tell({ type: "gate", key, verdict: answer.verdict, detail: answer.detail });
      this.parts.wake();
    };
    const done = ask();
    this.all.add(done);
    void done.finally(() => this.all.delete(done));
  }

  /** By id, made once for each look: weights are asked of all for each that is let in. */
  private seen(id: string): InstanceReport | undefined {
    const reports = this.parts.reports();
    if (this.look?.reports !== reports) this.look = { reports, byId: new Map(reports.map((report) => [report.id, report])) };
    return this.look.byId.get(id);
  }

  private of(slot: string): readonly InstanceReport[] {
    return this.parts.reports().filter((report) => report.slot === slot);
  }

  /** The same for the same key: a process that begins again makes no second machine. */
  private placeFor({ slot, zone }: FleetSlot, key: string): { readonly id: string; readonly slot: string; readonly zone: string } {
    return { id: `${slot}-${this.parts.digestOf(key).slice("sha256:".length, "sha256:".length + 6)}`, slot, zone };
  }
}

class TooLate extends Error {
  override readonly name = "TooLate";
}

/** Jobs of the fleet as a whole. */
const FLEET = "*";
const WEIGHTS = "*weights";
const FULL = 100;
