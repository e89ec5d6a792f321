import { ENDS, type RolloutStatus } from "./model.ts";

/** What becomes of a release for a fleet on which another one is under way. */
export type SecondRollout =
  /** It starts when all before it have ended. */
  | "queue"
  /** It starts as soon as what is under way is ended; those that waited are given up. */
  | "supersede"
  | "refuse";

/** A release that somebody asked for. */
export interface Release {
  readonly rollout: string;
  readonly target: string;
  /** When it was asked for. */
  readonly atMs: number;
}

/** What a fleet has at this moment: of all rollouts, at most one is under way. */
export interface Line {
  readonly underWay?: { readonly rollout: string; readonly target: string; readonly status: RolloutStatus };
  readonly waiting: readonly Release[];
}

export type Admission =
  | { readonly kind: "start" }
  | { readonly kind: "wait"; readonly why: string }
  /** `tell` is told that it is superseded, and this one starts when it has ended; `drop` do not start any more. */
  | { readonly kind: "supersede"; readonly tell?: string; readonly drop: readonly string[]; readonly why: string }
  | { readonly kind: "refuse"; readonly why: string };

/** What becomes of a release. It holds as long as the fleet's line is the one that was looked at: whoever writes it down holds the line. */
export function admitRelease({ target }: Release, line: Line, policy: SecondRollout): Admission {
  const underWay = line.underWay === undefined || ENDS.has(line.underWay.status) ? undefined : line.underWay;
  const { waiting } = line;
  const last = waiting.at(-1)?.rollout ?? underWay?.rollout;
  if (last === undefined) return { kind: "start" };
  if (underWay?.target === target && underWay.status !== "halted")
    return { kind: "refuse", why: `${underWay.rollout} is about it already, and is ${underWay.status}` };
  const same = waiting.find((release) => release.target === target);
  if (same !== undefined) return { kind: "refuse", why: `${same.rollout} is about it already, and waits for its turn` };
  if (policy === "refuse")
    return { kind: "refuse", why: `${last} has to end first: it ${underWay === undefined ? "waits" : `is ${underWay.status}`}` };
  if (policy === "queue") return { kind: "wait", why: `the end of ${last}` };
  // a way back is not stopped half way, and ends by itself
  const told = underWay === undefined || underWay.status === "rolling-back" ? {} : { tell: underWay.rollout };
  return { kind: "supersede", ...told, drop: waiting.map(({ rollout }) => rollout), why: `the end of ${underWay?.rollout ?? last}` };
}

/** The one that starts when nothing is under way: in the order of asking, and by name within one millisecond, however they are listed. */
export const nextRelease = (waiting: readonly Release[]): Release | undefined =>
  waiting.toSorted((a, b) => a.atMs - b.atMs || (a.rollout < b.rollout ? -1 : 1))[0];
