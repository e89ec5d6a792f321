import fc from "fast-check";
import type { CommandName } from "./model.ts";

export const anyPolicy = fc.record({
  strategy: fc.oneof(
    fc.record({
      kind: fc.constant("rolling" as const),
      batch: fc.record({ count: fc.integer({ min: 1, max: 5 }) }),
      soakMs: fc.constantFrom(0, 500),
    }),
    fc.record({
      kind: fc.constant("canary" as const),
      steps: fc.array(
        fc.record(
          {
            to: fc.record({ percent: fc.integer({ min: 0, max: 100 }) }),
            weight: fc.integer({ min: 0, max: 100 }),
            soakMs: fc.constant(100),
          },
          { requiredKeys: ["soakMs"] },
        ),
        { minLength: 1, maxLength: 3 },
      ),
    }),
  ),
  maxUnavailable: fc.record({ count: fc.integer({ min: 1, max: 4 }) }),
  maxSurge: fc.record({ count: fc.integer({ min: 0, max: 2 }) }),
  minHealthy: fc.record({ count: fc.integer({ min: 0, max: 5 }) }),
  errors: fc.record({ allowed: fc.record({ count: fc.integer({ min: 0, max: 3 }) }), strict: fc.boolean(), perWave: fc.boolean() }),
  onHalt: fc.constantFrom("hold" as const, "roll-back" as const),
});

/** What becomes of the moves that are under way, and what else happens meanwhile. */
export const anyHappenings = fc.array(
  fc.record({
    what: fc.oneof(
      { arbitrary: fc.constantFrom("roll-back", "revoked", "revoked-back", "superseded"), weight: 1 }, // most of what follows them is the end
      {
        weight: 30,
        arbitrary: fc.constantFrom(
          "done",
          "done",
          "done",
          "failed",
          "sick",
          "well",
          "silence",
          "twice",
          "others",
          "freeze",
          "thaw",
          "pause",
          "resume",
          "take",
          "join",
          "leave",
        ),
      },
    ),
    which: fc.nat(20),
    afterMs: fc.integer({ min: 1, max: 4000 }),
  }),
  { minLength: 10, maxLength: 80 },
);

export const anyStrategy = fc.oneof(
  anyPolicy.map(({ strategy }) => strategy),
  fc.record({ kind: fc.constant("blue-green" as const), soakMs: fc.constant(100), keepOldMs: fc.constant(1000) }),
  fc.record({ kind: fc.constant("all-at-once" as const), soakMs: fc.constant(100) }),
);
const commands = fc.constantFrom<CommandName>("approve", "pause", "resume", "abort", "roll-back", "skip", "skip-gate", "retry-failed");
export const anyEvents = fc.array(
  fc.record({
    what: fc.oneof(
      anyHappenings.map(([event]) => event?.what ?? "done"),
      commands,
      fc.constantFrom("no-gate", "bad-gate", "gate", "stage-done", "stage-failed", "superseded", "revoked", "revoked-back"),
    ),
    which: fc.nat(20),
    afterMs: fc.integer({ min: 1, max: 20_000 }),
  }),
  { maxLength: 60 },
);
