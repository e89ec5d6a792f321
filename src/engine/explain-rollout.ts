import { fleetKey } from "../ports/fleet-records.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { findFleet, findRollout } from "./find-fleet.ts";
import { isHeld } from "./line-stops.ts";
import { showRollout, type RolloutView } from "./show-rollout.ts";

export interface Explanation {
  readonly view: RolloutView;
  /** Why it is where it is, the nearest cause first. */
  readonly because: readonly string[];
  /** Commands that would change that. */
  readonly commands: readonly string[];
}

/** Why a rollout is not going on, and what would make it. @throws ROLLOUT_NOT_FOUND */
export function explainRollout(parts: FleetParts, reference: string | undefined): Explanation {
  const { id, fleet } = findRollout(parts.records, reference);
  const view = showRollout(parts.records.open(id));
  const because: string[] = [];
  const commands: string[] = [];
  const carrier = parts.records.carrier(fleet);
  if (view.over) because.push(`it is over: ${view.status}${view.reason === "" ? "" : `, because ${view.reason}`}`);
  else if (carrier === undefined) {
    because.push("no process carries it on at this moment");
    commands.push(`bakehouse rollout watch ${id} --carry`);
  }
  const now = parts.clock.now();
  for (const stop of parts.records.stops())
    if (
      !view.over &&
      isHeld(stop, now) &&
      (stop.fleet === undefined || stop.fleet === fleet) &&
      !stop.except.some((digest) => digest === view.target)
    ) {
      because.push(`${stop.owner} stopped the line${stop.until === undefined ? "" : ` until ${stop.until}`}: ${stop.reason}`);
      commands.push(`bakehouse line release ${stop.id} --reason "…"`);
    }
  const pending = view.over ? [] : parts.records.open(id).pending();
  for (const { command, who } of pending) because.push(`${command} by ${who} is written down, and nobody has read it yet`);
  const bad = view.instances.filter(({ phase }) => phase === "failed" || phase === "unreachable" || phase === "stuck");
  switch (view.status) {
    case "awaiting-approval":
      because.push(`it waits for ${view.waitingFor}; whoever started it (${view.startedBy}) does not count`);
      commands.push(`bakehouse rollout approve ${id} --plan ${view.planHash}`);
      break;
    case "paused":
    case "held":
      because.push(view.reason);
      commands.push(`bakehouse rollout resume ${id}`);
      if (view.reason.startsWith("gate ")) commands.push(`bakehouse rollout skip ${id} --gate --reason "…"`);
      if (bad.length > 0) commands.push(`bakehouse rollout retry ${id}`);
      break;
    case "halted":
      because.push(view.reason);
      if (view.back !== undefined) commands.push(`bakehouse rollout roll-back ${id}`);
      commands.push(`bakehouse rollout abort ${id}`);
      break;
    default:
      if (view.approvals?.wave !== undefined && !pending.some(({ command }) => command === "approve"))
        commands.push(`bakehouse rollout approve ${id} --plan ${view.planHash} --wave ${view.approvals.wave}`);
      if (!view.over && view.waitingFor !== "" && !because.some((why) => why.includes("stopped the line")))
        because.push(`it waits for ${view.waitingFor}`);
  }
  for (const { id: slot, phase, running } of bad) {
    because.push(
      `${slot} ${phase === "unreachable" ? "does not answer" : phase === "stuck" ? "does not come back" : "failed"}${running === undefined ? "" : `, runs ${running.slice(0, 19)}`}`,
    );
    if (commands.length < MOST) commands.push(`bakehouse fleet logs ${fleetKey(findFleet(parts.records, fleet))} ${slot}`);
  }
  return { view, because, commands };
}

const MOST = 8;
