import type { CommandName, RolloutStatus } from "./model.ts";

type Answer = true | string;

const OVER = "the rollout is over: start another one";
const HALTED = "the rollout was halted, and what halted it stays true: start another one, or roll back";
const RETURNING = "it is going back already";
const PLAIN = "nothing of that kind is waited for";

/** Whether a command can be done in a state, else why not. Every state has an answer to every command. */
export const COMMANDS: Readonly<Record<RolloutStatus, Readonly<Record<CommandName, Answer>>>> = {
  "awaiting-approval": {
    ...{ approve: true, abort: true, skip: true },
    ...{ pause: "it has not begun", resume: "it waits for approvals: approve it", "roll-back": "it has not begun: abort it" },
    ...{ "skip-gate": PLAIN, "retry-failed": "nothing has failed yet" },
  },
  running: {
    ...{ approve: true, pause: true, abort: true, "roll-back": true, skip: true, "retry-failed": true },
    ...{ resume: "it is running", "skip-gate": PLAIN },
  },
  paused: {
    ...{ approve: true, resume: true, abort: true, "roll-back": true, skip: true, "retry-failed": true },
    ...{ pause: "it is paused already", "skip-gate": PLAIN },
  },
  held: {
    ...{ approve: true, resume: true, pause: true, abort: true, "roll-back": true, skip: true, "skip-gate": true, "retry-failed": true },
  },
  halted: {
    ...{ abort: true, "roll-back": true },
    ...{
      approve: HALTED,
      pause: "nothing new starts after a halt",
      resume: HALTED,
      skip: HALTED,
      "skip-gate": HALTED,
      "retry-failed": HALTED,
    },
  },
  "rolling-back": {
    ...{ approve: RETURNING, pause: RETURNING, resume: RETURNING, abort: "going back is not stopped half way", "roll-back": RETURNING },
    ...{ skip: RETURNING, "skip-gate": RETURNING, "retry-failed": RETURNING },
  },
  completed: over(),
  "rolled-back": over(),
  "rollback-failed": over(),
  abandoned: over(),
};

function over(): Readonly<Record<CommandName, Answer>> {
  return {
    ...{ approve: OVER, pause: OVER, resume: OVER, abort: OVER, "roll-back": OVER, skip: OVER, "skip-gate": OVER, "retry-failed": OVER },
  };
}
