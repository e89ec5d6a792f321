import type { MachineClock } from "../audit/record.ts";
import type { ImageDigest } from "../digest.ts";
import type { ChannelMove } from "./facts.ts";

/** A time that an image was in a channel. */
export interface Stay {
  readonly from: string;
  readonly clock?: MachineClock;
  /** Absent: it still is. */
  readonly to?: { readonly at: string; readonly clock?: MachineClock };
}

/**
 * The times that an image was in a channel, the oldest first. One that ended because the channel was taken back from it speaks
 * against the image, and so do those before: none of them counts.
 *
 * @param moves  of that channel, the oldest first
 */
export function staysOf(
  moves: readonly ChannelMove[],
  digest: ImageDigest,
): { readonly stays: readonly Stay[]; readonly takenBack?: ChannelMove } {
  let stays: Stay[] = [];
  let open: Stay | undefined;
  let takenBack: ChannelMove | undefined;
  for (const move of moves) {
    if (open !== undefined && move.digest !== digest) {
      if (move.kind === "promoted") stays.push({ ...open, to: { at: move.at, ...clockOf(move) } });
      else {
        stays = [];
        takenBack = move;
      }
      open = undefined;
    }
    if (move.digest !== digest) continue;
    open ??= { from: move.at, ...clockOf(move) };
    takenBack = undefined;
  }
  if (open !== undefined) stays.push(open);
  return { stays, ...(takenBack === undefined ? {} : { takenBack }) };
}

const clockOf = ({ clock }: ChannelMove): { readonly clock?: MachineClock } => (clock === undefined ? {} : { clock });

/**
 * How long a stay was, in milliseconds; undefined when the wall clock went backwards in it. Within one boot the machine's own
 * clock is asked, too, and the shorter time counts: a wall clock that was set forward makes nothing older.
 */
export function lengthOf(stay: Stay, now: { readonly at: Date; readonly clock?: MachineClock }): number | undefined {
  const end = stay.to === undefined ? now.at.getTime() : Date.parse(stay.to.at);
  const wallMs = end - Date.parse(stay.from);
  if (!(wallMs >= 0)) return undefined;
  const endClock = stay.to === undefined ? now.clock : stay.to.clock;
  if (stay.clock === undefined || endClock === undefined || stay.clock.bootId !== endClock.bootId) return wallMs;
  return Math.min(wallMs, endClock.uptimeMs - stay.clock.uptimeMs);
}

/** The image that a channel pointed to before the one it points to now, and before that: what a rollback can go to, the nearest first. */
export function earlierImages(moves: readonly ChannelMove[]): readonly ImageDigest[] {
  const stack: ImageDigest[] = [];
  for (const { kind, digest } of moves) {
    if (digest === undefined) continue;
    const at = stack.lastIndexOf(digest);
    // going back takes what came after off; going forward to an image again puts it on top
    if (kind === "rolled-back" && at >= 0) stack.length = at + 1;
    else {
      if (at >= 0) stack.splice(at, 1);
      stack.push(digest);
    }
  }
  const current = moves.at(-1)?.digest;
  return stack.filter((digest) => digest !== current).toReversed();
}
