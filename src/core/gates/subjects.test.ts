import { expect, it } from "vitest";
import type { ImageDigest } from "../digest.ts";
import type { InstanceReport } from "../fleet/instance.ts";
import { gateSubjects } from "./subjects.ts";

const digest = (letter: string): ImageDigest => `sha256:${letter.repeat(64)}`;
const [old, target] = [digest("a"), digest("b")];
const report = (id: string, running: ImageDigest | undefined, provided: ImageDigest): InstanceReport => ({
  ...{ id, slot: id, zone: "local", running, provided, health: "healthy", serving: true },
  ...{ bootedAt: "2026-11-26T02:00:00Z", observedAt: "2026-11-26T03:00:00Z" },
});

it("divides a fleet by what runs, and what is silent by what it was brought to", () => {
  const reports = [
    report("web-1", target, target),
    report("web-2", old, old),
    report("web-3", undefined, target),
    report("web-4", undefined, old),
    report("web-5", old, target),
  ];
  expect(gateSubjects(reports, target, ({ id }) => Number(id.slice(4)) * 1000)).toEqual({
    moved: [
      { id: "web-1", sinceMs: 1000 },
      { id: "web-3", sinceMs: 3000 },
    ],
    untouched: [{ id: "web-2" }, { id: "web-4" }, { id: "web-5" }],
  });
});
