import { shortDigest, type ImageDigest } from "../core/digest.ts";
import { DEFAULT_POLICY } from "../core/fleet/default-policy.ts";
import { FLAP_MS, healFleet, type Remedy } from "../core/fleet/heal.ts";
import type { InstanceReport } from "../core/fleet/instance.ts";
import type { FleetSlot } from "../core/fleet/slots.ts";
import { numberOf } from "../core/rollout/amount.ts";
import type { Rollout } from "../core/rollout/rollout.ts";
import type { KnownFleet } from "../ports/fleet-records.ts";
import type { FleetParts } from "./fleet-parts.ts";
import type { InstanceMover } from "./instance-mover.ts";

/** A fleet as it was seen a moment ago. */
export interface FleetLook {
  readonly fleet: KnownFleet;
  readonly slots: readonly FleetSlot[];
  readonly reports: readonly InstanceReport[];
  /** The one that is under way. */
  readonly rollout: Rollout | undefined;
  /** Whether something is under way for a slot or an instance, or was when the look began. */
  isBusy(slotOrInstance: string): boolean;
}

/** What healing began, and what it left and why. */
export interface Healed {
  readonly remedies: readonly Remedy[];
  readonly left: readonly { readonly slot: string; readonly why: string }[];
}

/** What could not be begun is tried again. */
const RETRY_MS = 1000;
/** Slots that are filled at once when a fleet begins; a machine that boots takes half a second of a processor. */
const LAUNCHES = 4;
/** What the keys of healing begin with. */
const HEALING = "heal/";

/** Fills empty slots, and replaces or brings back what died or is ill, where no rollout is at it. */
export class FleetHealer {
  private readonly parts: FleetParts;
  private readonly key: string;
  private readonly mover: InstanceMover;
  private readonly canReplace: boolean;
  private readonly sickSince = new Map<string, number>();
  private mends = 0;
  /** What is being mended, by key; why that failed the last time, and when. */
  private readonly mending = new Map<string, string>();
  private readonly unmended = new Map<string, { readonly why: string; readonly atMs: number }>();

  constructor(parts: FleetParts, key: string, mover: InstanceMover, { replace }: { readonly replace: boolean }) {
    this.parts = parts;
    this.key = key;
    this.mover = mover;
    this.canReplace = replace;
  }

  noteHealth(reports: readonly InstanceReport[]): void {
    const nowMs = this.parts.clock.elapsedMs();
    for (const { id, slot, health, serving } of reports) {
      if (health === "healthy") {
        this.sickSince.delete(id);
        if (serving) this.unmended.delete(slot);
      } else if (!this.sickSince.has(id)) this.sickSince.set(id, nowMs);
    }
  }

  heal(look: FleetLook): Healed {
    const { records, clock } = this.parts;
    const { fleet, slots, reports } = look;
    const { maxUnavailable } = fleet.fleet.rollout ?? DEFAULT_POLICY;
    const healed = healFleet({
      slots,
      reports,
      wants: (slot) => wants(slot, look),
      sickForMs: (id) => {
        const since = this.sickSince.get(id);
        return since === undefined ? undefined : clock.elapsedMs() - since;
      },
      healings: records.healings(this.key, new Date(clock.now().getTime() - FLAP_MS).toISOString()),
      atOnce: reports.length === 0 ? LAUNCHES : Math.max(LAUNCHES, numberOf(maxUnavailable, fleet.size, "down")),
      underWay: this.mover.underWay,
      canReplace: this.canReplace,
    });
    const barred = healed.remedies.flatMap((remedy) => this.keptOut(remedy, look));
    const remedies = healed.remedies.filter((remedy) => this.mayMend(remedy, look) && this.keptOut(remedy, look).length === 0);
    for (const remedy of remedies) this.begin(remedy);
    for (const [key, mended] of this.mending) if (this.mover.busy(mended)?.key !== key) this.mending.delete(key);
    const left = healed.left.map(({ slot, why }) => {
      const failure = this.unmended.get(slot);
      return { slot, why: failure === undefined ? why : `${why}; ${failure.why}` };
    });
    return { remedies, left: [...left, ...barred] };
  }

  /** What could not be done is told with what is left. */
  failed(key: string, why: string): void {
    const mended = this.mending.get(key);
    if (mended !== undefined) this.unmended.set(mended, { why, atMs: this.parts.clock.elapsedMs() });
  }

  isAt(slot: string): boolean {
    return this.mover.busy(slot)?.key.startsWith(HEALING) === true;
  }

  private begin(remedy: Remedy): void {
    const { records, clock } = this.parts;
    const at = clock.now().toISOString();
    if (remedy.kind === "replace" || remedy.kind === "bring" || (remedy.kind === "launch" && remedy.healing))
      records.healed(this.key, {
        slot: remedy.slot.slot,
        instance: remedy.kind === "launch" ? "" : remedy.instance,
        why: remedy.why,
        at,
      });
    this.mends += 1;
    const key = `${HEALING}${this.key}/${at}/${this.mends}`;
    this.mending.set(key, mendedBy(remedy));
    this.mover.mend(remedy, key);
  }

  /** What a halt took the traffic from is not let in because the rollout is over: its image is denied. */
  private keptOut(remedy: Remedy, { fleet, reports }: FleetLook): Healed["left"] {
    if (remedy.kind !== "admit") return [];
    const { slot } = remedy.slot;
    const running = reports.find(({ id }) => id === remedy.instance)?.running;
    if (running === undefined || running === fleet.declared) return [];
    const isDenied = this.parts.records.denied(this.key).some(({ digest }) => digest === running);
    return isDenied ? [{ slot, why: `it runs ${shortDigest(running)}, which is on the deny list of the fleet` }] : [];
  }

  /** A blue/green rollout has two instances in each slot: only what died is ended meanwhile. */
  private mayMend(remedy: Remedy, { reports, rollout, isBusy }: FleetLook): boolean {
    const failure = this.unmended.get(mendedBy(remedy));
    if (failure !== undefined && this.parts.clock.elapsedMs() - failure.atMs < RETRY_MS) return false;
    if (remedy.kind === "admit" && this.mover.isKeptOut(remedy.instance)) return false;
    if (remedy.kind === "end") {
      const report = reports.find(({ id }) => id === remedy.instance);
      if (isBusy(remedy.instance) || (report !== undefined && isBusy(report.slot))) return false;
      return rollout === undefined || report?.bootedAt === undefined;
    }
    return rollout?.plan.policy.strategy.kind !== "blue-green" || remedy.kind === "launch";
  }
}

/** What a slot is to run; nothing while something is under way for it. */
function wants(slot: string, { fleet, rollout, isBusy }: FleetLook): ImageDigest | undefined {
  if (isBusy(slot)) return undefined;
  if (rollout === undefined) return fleet.declared;
  const phase = rollout.roster.find(slot)?.phase;
  if (phase === "settled") return rollout.plan.target as ImageDigest;
  // what a rollout moved is its own until it ends: another machine would hide that the image fails, and what it broke stays to be looked at
  return phase === "waiting" || phase === "returned" || phase === "skipped" || phase === "unreachable" ? fleet.declared : undefined;
}

/** What a job of healing is about: the slot, and where something is only ended, the instance. */
const mendedBy = (remedy: Remedy): string => (remedy.kind === "end" ? remedy.instance : remedy.slot.slot);
