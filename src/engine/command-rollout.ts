import { BakehouseError } from "../core/errors.ts";
import { COMMANDS } from "../core/rollout/commands.ts";
import type { Command } from "../core/rollout/model.ts";
import type { ImageDigest } from "../core/digest.ts";
import type { FleetParts } from "./fleet-parts.ts";
import { findRollout } from "./find-fleet.ts";
import { recordDeed } from "./record-deed.ts";
import type { GivenCommand } from "../ports/fleet-records.ts";
import { replayRollout, showRollout, type RolloutView } from "./show-rollout.ts";

export interface CommandOptions extends Omit<Command, "who"> {
  /** Id of a rollout, or its fleet. */
  readonly rollout: string | undefined;
  /** In whose name; absent: whoever types it. */
  readonly as?: string;
}

export interface Commanded {
  readonly view: RolloutView;
  /** Whether somebody carries the rollout on. */
  readonly carried: boolean;
  /** What nobody has read yet. */
  readonly pending: readonly GivenCommand[];
}

/** How long whoever carries the rollout is given to read the command. */
const READ_MS = 5000;
const POLL_MS = 50;

/**
 * Gives a rollout a command. It is written down at once; whoever carries the rollout reads it within a tenth of a second.
 *
 * @throws ROLLOUT_NOT_FOUND; ROLLOUT_REFUSED when it cannot be done in the state that the rollout is in
 */
export async function commandRollout(parts: FleetParts, options: CommandOptions, signal: AbortSignal): Promise<Commanded> {
  const { id, fleet } = findRollout(parts.records, options.rollout);
  const { command, reason, planHash, wave, id: instance } = options;
  const who = options.as ?? (await parts.baker());
  const records = parts.records.open(id);
  const before = replayRollout(records);
  const answer = COMMANDS[before.rollout.status][command];
  if (answer !== true) throw refused(id, command, answer);
  const given: Command = {
    command,
    who,
    ...(reason === undefined ? {} : { reason }),
    ...(planHash === undefined ? {} : { planHash }),
    ...(wave === undefined ? {} : { wave }),
    ...(instance === undefined ? {} : { id: instance }),
  };
  // what the rollout itself would say, before anybody waits for it
  const { nowMs } = records.moments().at(-1) ?? records.origin;
  const tried = replayRollout(records).rollout.tick([{ type: "command", ...given }], nowMs);
  const [no] = tried.refused;
  if (no !== undefined) throw refused(id, command, no.why);
  parts.records.command(id, given, parts.clock.now().toISOString());
  await recordDeed(parts, "rollout-commanded", fleet, {
    what: `${id} ${command}${wave === undefined ? "" : ` wave ${wave}`}${instance === undefined ? "" : ` ${instance}`} by ${who}`,
    rollout: id,
    image: before.rollout.plan.target as ImageDigest,
    ...(planHash === undefined ? {} : { planHash }),
    ...(reason === undefined ? {} : { reason }),
  });
  const carried = parts.records.carrier(fleet) !== undefined;
  for (const end = parts.clock.elapsedMs() + READ_MS; carried && records.pending().length > 0 && parts.clock.elapsedMs() < end;)
    await parts.sleep(POLL_MS, signal);
  return { view: showRollout(parts.records.open(id)), carried, pending: records.pending() };
}

const refused = (id: string, command: string, why: string): BakehouseError =>
  new BakehouseError("ROLLOUT_REFUSED", `${id} does not take ${JSON.stringify(command)}: ${why}`, {
    hint: `bakehouse rollout watch ${id}`,
  });
