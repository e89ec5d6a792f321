import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { collectReport, reportRollout } from "../../src/engine/report-rollout.ts";
import type { RolloutReport } from "../../src/core/fleet/rollout-report.ts";
import { shopImages, Site, type ShopImages } from "./simulated.ts";

let images: ShopImages;
beforeAll(async () => {
  images = await shopImages();
});
afterAll(() => images.close());

const gate = { name: "errors", onError: "hold", onInconclusive: "halt", probe: { kind: "windows", windows: [] } } as const;
const never = { health: ({ image }: { readonly image: string }) => (image === images.r2 ? "unhealthy" : "healthy") } as const;

const reported = (site: Site): RolloutReport => collectReport(site.process().parts, undefined);

describe("the report of a rollout", () => {
  it("tells waves, gates and the end of one that completed", async () => {
    const site = new Site(images, { rollout: { gates: [gate] } });
    const view = await site.roll();
    const report = reported(site);
    expect(report).toMatchObject({ id: view.id, status: "completed", over: true, counts: { moved: 6 }, failures: [], commands: [] });
    expect(report.halt).toBeUndefined();
    expect(report.waves.map(({ instances }) => instances.length)).toEqual([2, 2, 2]);
    for (const { openedMs = -1, doneMs = -1 } of report.waves) {
      expect(openedMs).toBeGreaterThanOrEqual(0);
      expect(doneMs - openedMs).toBeGreaterThanOrEqual(1000); // the soak
    }
    expect(report.gates.map(({ gate: name, wave, verdict }) => `${name} ${wave} ${verdict}`)).toEqual([
      "errors 1 passed",
      "errors 2 passed",
      "errors 3 passed",
    ]);
    for (const { phases } of report.instances) expect(phases.map(({ phase }) => phase)).toEqual(["waiting", "moving", "moved"]);
    expect(report.durationMs).toBe(Date.parse(report.timeline.at(-1)?.at ?? "") - Date.parse(report.startedAt));
  });

  it("tells who let a wave go on, and that nobody had in time", async () => {
    const people = { approvals: 1, waves: [1], withinMs: 5000 };
    const gates = [{ name: "go-ahead", onError: "hold", onInconclusive: "hold", people }] as const;
    const site = new Site(images, {
      size: 3,
      rollout: { gates, strategy: { kind: "canary", steps: [{ to: { count: 1 }, soakMs: 500 }] } },
    });
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => rollout?.state.status === "held");
    await site.command({ command: "approve", planHash: site.view(id).planHash });
    await site.command({ command: "resume" });
    await site.carry();
    expect(reported(site).gates).toMatchObject([
      { gate: "go-ahead", wave: 1, verdict: "inconclusive", detail: "0 of 1 approved in time" },
      { gate: "go-ahead", wave: 1, verdict: "passed", detail: "approved by bea@host" },
    ]);
  });

  it("tells what failed and why, and how long halting and going back took", async () => {
    const site = new Site(images, { world: never });
    await site.roll();
    const report = reported(site);
    expect(report).toMatchObject({ status: "rolled-back", counts: { returned: 1, waiting: 5 } });
    expect(report.failures).toMatchObject([{ phase: "failed", wave: 1, why: "not healthy on the image within 20.0 s", end: "returned" }]);
    const { halt } = report;
    expect(halt).toMatchObject({ haltedAfterMs: 0, overRun: 0 });
    expect(halt?.ms).toBeGreaterThanOrEqual(20_000);
    expect(halt?.backAfterMs).toBe(report.durationMs - (halt?.ms ?? 0));
    expect(report.timeline.map(({ what }) => what)).toContain("running → rolling-back");
  });

  it("counts from the first sign to the halt, and what was begun meanwhile", async () => {
    const sick = {
      health: ({ image, ageMs }: { readonly image: string; readonly ageMs: number }) =>
        image === images.r2 && ageMs > 2000 ? "unhealthy" : "healthy",
    } as const;
    const site = new Site(images, { world: sick, rollout: { graceMs: 3000, strategy: { kind: "all-at-once", soakMs: 5000 } } });
    await site.roll();
    const { halt } = reported(site);
    expect(halt?.signal?.what).toMatch(/became unhealthy$/);
    expect(halt?.haltedAfterMs).toBeGreaterThanOrEqual(3000);
    expect(halt?.haltedAfterMs).toBeLessThan(3500);
  });

  it("tells commands by whom, also those that were refused", async () => {
    const site = new Site(images);
    await site.converge();
    const id = await site.begun();
    await site.carry(({ rollout }) => (rollout?.state.wave ?? 0) === 1);
    await site.command({ command: "pause", reason: "lunch <b>" });
    site.records.command(id, { command: "skip", who: "eve@host", id: "web-99", reason: "no" }, "2026-11-02T09:00:00.000Z");
    await site.carry(({ rollout }) => rollout?.state.status === "paused");
    await site.command({ command: "resume" });
    await site.carry();
    const { commands } = reported(site);
    expect(commands).toMatchObject([
      { command: "pause", who: "bea@host", reason: "lunch <b>" },
      { command: "skip", who: "eve@host", about: "web-99", refused: "no instance is called web-99" },
      { command: "resume", who: "bea@host" },
    ]);
    const page = reportRollout(site.process().parts, id, "html");
    expect(page).toContain("lunch &lt;b&gt;");
    expect(page).not.toContain("<b>");
    const text = reportRollout(site.process().parts, id, "markdown");
    expect(text).toContain("lunch \\<b\\>");
  });

  it("says of a gate that it halted", async () => {
    const site = new Site(images, { rollout: { gates: [gate] } });
    site.gate = () => ({ verdict: "failed", detail: "5 | 9 errors" }) as never;
    await site.roll();
    const report = reported(site);
    expect(report.halt).toMatchObject({ signal: { what: "gate errors: failed" }, haltedAfterMs: 0 });
    expect(report.gates).toMatchObject([{ verdict: "failed", wave: 1 }]);
    expect(reportRollout(site.process().parts, undefined, "markdown")).toContain("5 \\| 9 errors");
  });

  it("is of a rollout that has only begun, too", async () => {
    const site = new Site(images);
    await site.converge();
    await site.begun();
    const report = reported(site);
    expect(report).toMatchObject({ status: "running", over: false, durationMs: 0, counts: { waiting: 6 } });
    expect(report.endedAt).toBeUndefined();
    for (const format of ["markdown", "html"] as const) expect(reportRollout(site.process().parts, undefined, format)).toContain("running");
  });

  it("draws a bar for each instance, and none beyond the page", async () => {
    const site = new Site(images);
    await site.roll();
    const page = reportRollout(site.process().parts, undefined, "html");
    expect([...page.matchAll(/<text x="152"/g)]).toHaveLength(6);
    for (const [, x = "", width = ""] of page.matchAll(/<rect x="(\d+)" y="\d+" width="(\d+)"/g))
      expect(Number(x) + Number(width)).toBeLessThanOrEqual(1001);
    expect(page).not.toMatch(/src=|href=|<script/);
  });
});
