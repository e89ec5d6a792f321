import { describe, expect, it } from "vitest";
import type { ImageDigest } from "../digest.ts";
import { healFleet, type HealRequest } from "./heal.ts";
import type { InstanceReport } from "./instance.ts";

const image: ImageDigest = `sha256:${"a".repeat(64)}`;
const slot = { slot: "web-1", zone: "a" };
const report = (more: Partial<InstanceReport>): InstanceReport => ({
  id: "web-1",
  slot: "web-1",
  zone: "a",
  provided: undefined,
  running: image,
  bootedAt: "2026-01-01T00:00:00.000Z",
  health: "healthy",
  serving: true,
  observedAt: "2026-01-01T00:00:00.000Z",
  ...more,
});
const heal = (one: Partial<InstanceReport>, more: Partial<HealRequest> = {}) =>
  healFleet({
    slots: [slot],
    reports: [report(one)],
    wants: () => image,
    sickForMs: () => undefined,
    healings: [],
    atOnce: 1,
    underWay: 0,
    canReplace: false,
    ...more,
  });

const odd = { running: undefined, health: "unhealthy", serving: false, why: "it runs no release yet" } as const;
const silent = { running: undefined, bootedAt: undefined, health: "unknown", serving: false, why: "no route to host" } as const;

describe("healing machines that are given", () => {
  it("brings the release to one that is there and runs nothing that is known, sick or not", () => {
    const bring = { kind: "bring", slot, instance: "web-1", image, why: "it runs no release yet" };
    expect(heal(odd)).toEqual({ remedies: [bring], left: [] });
    expect(heal({ ...odd, health: "healthy" })).toEqual({ remedies: [bring], left: [] });
    expect(heal(odd, { wants: () => undefined })).toEqual({ remedies: [], left: [] });
  });

  it("leaves it to people after three tries, and waits where enough is under way", () => {
    const healings = [slot, slot, slot];
    expect(heal(odd, { healings }).left).toEqual([{ slot: "web-1", why: "tried 3 times in 10 minutes: it runs no release yet" }]);
    expect(heal(odd, { underWay: 1 }).left).toEqual([{ slot: "web-1", why: "it runs no release yet; 1 others are being mended" }]);
  });

  it("leaves one alone that runs another image: that is for a rollout", () => {
    expect(heal({ running: `sha256:${"b".repeat(64)}` })).toEqual({ remedies: [], left: [] });
  });

  it("waits for one that does not answer, and tells why once that has lasted", () => {
    expect(heal(silent)).toEqual({ remedies: [], left: [] });
    expect(heal(silent, { sickForMs: () => 60_000 })).toEqual({
      remedies: [],
      left: [{ slot: "web-1", why: "no route to host; its machine cannot be replaced" }],
    });
  });
});
