import { describe, expect, test } from "vitest";
import { Driven } from "./driven.testing.ts";
import type { Action } from "./model.ts";
import type { RolloutPolicy } from "./policy.ts";

/** All of a fleet of six moved, and on its way back; the first that was taken out does not come up again. */
function oneStuck(policy: Partial<RolloutPolicy>): { readonly driven: Driven; readonly lost: string; readonly next: readonly Action[] } {
  const strategy = { kind: "rolling", batch: { count: 10 }, soakMs: 100_000 } as const;
  const driven = new Driven({ strategy, maxUnavailable: { count: 1 }, onHalt: "hold", ...policy }, 6);
  let actions = driven.tick();
  while (actions.length > 0)
    actions = driven.tick(actions.flatMap((each) => (each.kind === "move" ? [driven.report(each.id, "new")] : [])));
  const [first] = driven.tick([{ type: "command", command: "roll-back", who: "ada" }]);
  const lost = first?.kind === "move" ? first.id : "";
  driven.tick([driven.report(lost, undefined, false)]);
  const next = driven.tick([{ type: "action-failed", key: first?.key ?? "", reason: "no" }]);
  return { driven, lost, next };
}

const phases = ({ rollout }: Driven) =>
  Object.groupBy(
    [...rollout.roster].map(({ phase }) => phase),
    (phase) => phase,
  );

describe("one that does not come back", () => {
  test("holds nobody up: the others go back beside it", () => {
    const { driven, next } = oneStuck({});
    for (let back = next; back.length > 0;)
      back = driven.tick(back.flatMap((each) => (each.kind === "move" ? [driven.report(each.id, each.to)] : [])));
    driven.run();
    expect(driven.rollout.status).toBe("rollback-failed");
    expect(phases(driven)).toMatchObject({ stuck: { length: 1 }, returned: { length: 5 } });
  });

  test("ends the way back where so many must be healthy that nobody else may be taken out", () => {
    const { driven } = oneStuck({ minHealthy: { count: 5 } });
    driven.run();
    expect(driven.rollout).toMatchObject({
      status: "rollback-failed",
      reason: expect.stringMatching(/^nothing more can be taken out beside 1 that did not come back; /) as string,
    });
    expect(driven.rollout.roster.sums).toMatchObject({ stuck: 6, down: 1 });
  });

  test("is no reason to give up while somebody else may become well", () => {
    const { driven, lost } = oneStuck({ minHealthy: { count: 4 } });
    const other = [...driven.rollout.roster].find(({ id, phase }) => id !== lost && phase === "moved")?.id ?? "";
    driven.tick([driven.report(other, "new", false)], 10);
    expect(driven.rollout.status).toBe("rolling-back");
  });
});
