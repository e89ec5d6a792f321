import { BakehouseError } from "../core/errors.ts";
import { carryFleet, type FleetTurn } from "./carry-fleet.ts";
import { carrying } from "./converge-fleet.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { showRollout, viewOf, type RolloutView } from "./show-rollout.ts";

export interface FollowOptions {
  readonly id: string;
  readonly signal: AbortSignal;
  onView(view: RolloutView): void;
  /** Carry it on if nobody else does. */
  readonly carries: boolean;
}

/** Between two looks into the records. */
const POLL_MS = 250;

/** Only a person can do something: whoever only started it need not wait. */
const NEEDS_PEOPLE: ReadonlySet<string> = new Set(["awaiting-approval", "paused", "held", "halted"]);

const needsPeople = ({ status, approvals }: RolloutView): boolean => NEEDS_PEOPLE.has(status) || approvals !== undefined;

/**
 * Follows a rollout until it has ended, or until it waits for people with nothing under way. Carries it on where nobody else does and
 * that is asked for.
 *
 * @throws ROLLOUT_NOT_FOUND, CANCELLED
 */
export async function followRollout(parts: FleetParts, options: FollowOptions): Promise<RolloutView> {
  const { origin } = parts.records.open(options.id);
  const key = origin.plan.fleet;
  for (;;) {
    if (options.carries && parts.records.carrier(key) === undefined && !showRollout(parts.records.open(options.id)).over) {
      try {
        return await carryUntilEnd(parts, key, options);
      } catch (error) {
        // somebody was faster, or took over: look on
        if (!(error instanceof BakehouseError) || (error.code !== "RESOURCE_BUSY" && error.code !== "LEASE_LOST")) throw error;
      }
    }
    const view = await lookOn(parts, options);
    if (!options.carries || view.over || needsPeople(view)) return view;
    await parts.sleep(POLL_MS, options.signal); // whoever carried it is gone: it is ours now
    options.signal.throwIfAborted();
  }
}

async function carryUntilEnd(parts: FleetParts, key: string, { id, signal, onView }: FollowOptions): Promise<RolloutView> {
  const { startedBy } = parts.records.open(id).origin;
  let last: RolloutView | undefined;
  const carried = carrying(parts, key, `carries rollout ${id}`, () =>
    carryFleet(parts, key, {
      signal,
      onTurn: (turn: FleetTurn) => {
        const { rollout } = turn;
        if (rollout?.id !== id) return true;
        last = viewOf(rollout.state, { waitingFor: rollout.waitingFor, startedBy });
        onView(last);
        return rollout.ended || (needsPeople(last) && turn.underWay === 0);
      },
    }),
  );
  await carried.catch((error: unknown) => {
    if (!(error instanceof BakehouseError) || error.code !== "CANCELLED") throw error;
    throw new BakehouseError("CANCELLED", `${error.message}; ${id} stays where it is, and machines go on serving`, {
      hint: `bakehouse rollout watch ${id} --carry`,
    });
  });
  return last ?? showRollout(parts.records.open(id));
}

async function lookOn(parts: FleetParts, { id, signal, onView, carries }: FollowOptions): Promise<RolloutView> {
  for (;;) {
    const view = showRollout(parts.records.open(id));
    onView(view);
    const isCarried = parts.records.carrier(view.fleet) !== undefined;
    if (view.over || !isCarried || (carries && needsPeople(view))) return view;
    signal.throwIfAborted();
    await parts.sleep(POLL_MS, signal);
    signal.throwIfAborted();
  }
}
