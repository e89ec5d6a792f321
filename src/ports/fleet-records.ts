import type { ImageDigest } from "../core/digest.ts";
import type { Fleet } from "../core/fleet/model.ts";
import type { Recipe } from "../core/recipe/model.ts";
import type { Release } from "../core/rollout/admit.ts";
import type { Action, Command, RolloutStatus } from "../core/rollout/model.ts";
import type { RolloutPlan } from "../core/rollout/plan.ts";
import type { Baseline } from "./gate-baselines.ts";
import type { RolloutOrigin, RolloutRecords } from "./rollout-records.ts";
import type { Owner } from "./store.ts";

/** A fleet as its recipe declares it, and what has become of it. */
export interface KnownFleet {
  readonly recipe: string;
  /** Absolute path of the recipe that declared it last. */
  readonly file: string;
  readonly fleet: Fleet;
  /** Where the values of its secrets come from. */
  readonly secrets: Recipe["secrets"];
  /** As `fleet scale` set it; else that of the recipe. */
  readonly size: number;
  /** What every instance is to run. Moved when a rollout has ended. */
  readonly declared?: ImageDigest;
  /** What it ran before: to go back to. */
  readonly previous?: ImageDigest;
}

/** A digest that is not to be applied to a fleet. */
export interface Denied {
  readonly digest: ImageDigest;
  readonly reason: string;
  readonly who: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** Nothing new starts while it holds, on one fleet or on all. */
export interface LineStop {
  readonly id: string;
  /** `<recipe>/<fleet>`; absent: every fleet. */
  readonly fleet?: string;
  readonly owner: string;
  readonly reason: string;
  readonly from: string;
  readonly until?: string;
  /** Images that may go out all the same, such as the one that mends it. */
  readonly except: readonly ImageDigest[];
  readonly lifted?: { readonly who: string; readonly at: string; readonly reason: string };
}

export interface RolloutSummary {
  readonly id: string;
  /** `<recipe>/<fleet>`. */
  readonly fleet: string;
  readonly target: ImageDigest;
  readonly back?: ImageDigest;
  readonly status: RolloutStatus;
  readonly reason: string;
  readonly waitingFor: string;
  readonly startedBy: string;
  readonly startedAt: string;
  readonly endedAt?: string;
}

/** A command that was given, in the order in which they are read. */
export interface GivenCommand extends Command {
  readonly number: number;
}

/** An action as it was begun. */
export interface BegunAction {
  /** Counted from 1 over the whole rollout. */
  readonly number: number;
  /** How many moments there were by then. */
  readonly moment: number;
  readonly action: Action;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** What others were shown of a rollout. */
export interface ShownState {
  /** How many moments there were by then. */
  readonly moment: number;
  readonly status: RolloutStatus;
  readonly reason: string;
  readonly waitingFor: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** One rollout's records, for whoever carries it on. */
export interface FleetRolloutRecords extends RolloutRecords {
  readonly id: string;
  /** Boot of the machine that the milliseconds of `moments` belong to. */
  readonly bootId: string;
  /** Wall time of each moment, ISO 8601. */
  momentTimes(): readonly string[];
  /** What a replay is held against: the actions that were marked as done, and every state that was shown, in order. */
  begun(): readonly BegunAction[];
  shown(): readonly ShownState[];
  lastShown(): ShownState | undefined;
  /** Whether nobody took the rollout over since that epoch was given. */
  holds(epoch: number): boolean;
  /** Commands that no moment has yet: `append` of a moment that has one takes it from here. */
  pending(): readonly GivenCommand[];
  /** What others are shown; the same epoch as `append`. @throws LEASE_LOST */
  show(
    epoch: number,
    state: { readonly status: RolloutStatus; readonly reason: string; readonly waitingFor: string; readonly ended: boolean },
  ): void;
}

export interface NewRollout {
  readonly id: string;
  readonly fleet: string;
  readonly origin: RolloutOrigin;
  readonly plan: RolloutPlan;
  readonly bootId: string;
  readonly at: string;
}

/** A release that waits until what is under way has ended. */
export interface QueuedRelease extends Release {
  readonly image: ImageDigest;
  /** To go back to, if somebody named it. */
  readonly back?: ImageDigest;
  readonly salt?: string;
  readonly askedBy: string;
  /** The rollout under way is told that this one supersedes it. */
  readonly supersedes: boolean;
}

/** An instance that was replaced because it had died. */
export interface Healing {
  readonly slot: string;
  readonly instance: string;
  readonly why: string;
  readonly at: string;
}

/**
 * Fleets, rollouts and what people said about them. Everything is done at once, in one step that another process sees wholly or not at
 * all: a reconciler writes before it acts.
 */
export interface FleetRecords {
  fleets(): readonly KnownFleet[];
  /** Writes down what a recipe says; what has become of the fleet stays. */
  declare(recipe: Pick<Recipe, "name" | "secrets">, file: string, fleet: Fleet): KnownFleet;
  setSize(key: string, size: number | undefined): void;
  setDeclared(key: string, declared: ImageDigest, previous: ImageDigest | undefined): void;
  forget(key: string): void;

  denied(key: string): readonly Denied[];
  deny(key: string, denied: Denied): void;
  allow(key: string, digest: ImageDigest): boolean;

  stops(): readonly LineStop[];
  stop(stop: LineStop): void;
  lift(id: string, lifted: NonNullable<LineStop["lifted"]>): boolean;

  healings(key: string, since: string): readonly Healing[];
  healed(key: string, healing: Healing): void;
  forgiveHealings(key: string): void;

  /** What untouched instances of a fleet said to a gate, as it was kept last. */
  baseline(key: string, gate: string): Baseline | undefined;
  keepBaseline(key: string, gate: string, baseline: Baseline): void;

  /** The newest first. */
  rollouts(key?: string): readonly RolloutSummary[];
  /** The one of a fleet that has not ended: there is one at the most. */
  openRollout(key: string): RolloutSummary | undefined;
  /** Begins one, unless another of the fleet has not ended. @returns the one that is in the way, or nothing */
  begin(rollout: NewRollout): RolloutSummary | undefined;
  /** Those that wait for their turn, in the order in which they were asked for. */
  queued(key: string): readonly QueuedRelease[];
  enqueue(key: string, release: QueuedRelease): void;
  /** @returns whether it was there */
  dequeue(key: string, rollout: string): boolean;
  /** Everything in it happens at once, or not at all. */
  atOnce<T>(work: () => T): T;
  /** @throws ROLLOUT_NOT_FOUND */
  open(id: string): FleetRolloutRecords;
  command(id: string, command: Command, at: string): void;

  /** Who carries a fleet on at this moment, by its lease; it must be alive. */
  carrier(key: string): Owner | undefined;
  /** Takes the fleet, unless somebody alive has it. @returns who has it then */
  carry(key: string, owner: Owner, isAlive: (owner: Owner) => boolean): Owner;
  letGo(key: string, owner: Owner): void;
  close(): void;
}

export const fleetKey = ({ recipe, fleet }: Pick<KnownFleet, "recipe" | "fleet">): string => `${recipe}/${fleet.name}`;
