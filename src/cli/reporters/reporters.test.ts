import { describe, expect, it } from "vitest";
import { recordingStreams } from "../../../test/recording-streams.ts";
import type { BakehouseEvent, EventBody } from "../../core/events.ts";
import { createTerminal } from "../terminal.ts";
import { bakeTable } from "./bake-table.ts";
import { createReporter } from "./create-reporter.ts";
import { createLiveReporter } from "./live.ts";
import { eventText, reasonText } from "./words.ts";

const digest = (digit: string) => `sha256:${digit.repeat(64)}` as const;
const at = (body: EventBody): BakehouseEvent => ({ at: "2026-01-01T00:00:00.000Z", bake: "b1", ...body });

const bake: readonly BakehouseEvent[] = [
  at({ type: "bake-started", recipe: "shop", file: "/shop/bakehouse.yaml", steps: 4 }),
  at({ type: "packages-fetching", count: 1, totalBytes: 2_000_000 }),
  at({ type: "packages-progress", doneBytes: 1_000_000, totalBytes: 2_000_000 }),
  at({ type: "packages-progress", doneBytes: 2_000_000, totalBytes: 2_000_000 }),
  at({ type: "step-cached", step: "foundation/debian", diffId: digest("a"), sizeBytes: 98_000_000 }),
  at({
    type: "step-started",
    step: "base/apt",
    reason: { kind: "inputs-changed", changes: [{ input: "packages", before: "3", after: "4" }] },
  }),
  at({ type: "step-progress", step: "base/apt", message: "configuring curl", fraction: 0.5 }),
  at({ type: "step-output", step: "base/apt", line: "Setting up curl" }),
  at({ type: "step-baked", step: "base/apt", diffId: digest("b"), sizeBytes: 4_000_000, durationMs: 1234 }),
  at({ type: "image-baked", layer: "base", image: digest("c"), cached: false, sizeBytes: 102_000_000, durationMs: 1300, hermetic: false }),
  at({ type: "warning", message: "the disk is nearly full" }),
  at({ type: "bake-ended", outcome: "completed", durationMs: 1400 }),
];

async function plain(options: { quiet?: boolean; verbose?: boolean; events?: boolean } = {}) {
  const { streams, text } = recordingStreams();
  const reporter = await createReporter({ quiet: false, verbose: false, events: false, json: false, ...options }, createTerminal(streams));
  for (const event of bake) reporter.report(event);
  reporter.end();
  return text;
}

describe("plain lines", () => {
  it("one for each thing that happened", async () => {
    expect((await plain()).err).toBe(
      [
        "Baking shop (4 steps) from /shop/bakehouse.yaml",
        "Fetching 1 package, 2.0 MB",
        "foundation/debian: from the cache, 98 MB, aaaaaaaaaaaa",
        "base/apt: baking (packages: 3 → 4)",
        "base/apt: baked in 1.2 s, 4.0 MB, bbbbbbbbbbbb",
        "image base: cccccccccccc, 1.3 s, 102 MB, NOT HERMETIC",
        "Warning: the disk is nearly full",
        "Done in 1.4 s",
        "",
      ].join("\n"),
    );
  });

  it("only warnings when quiet, output of steps when verbose", async () => {
    expect((await plain({ quiet: true })).err).toBe("Warning: the disk is nearly full\n");
    expect((await plain({ verbose: true })).err).toContain("  base/apt: configuring curl\n  Setting up curl\n");
  });

  it("every event as a line of JSON on stdout with --events", async () => {
    const { out, err } = await plain({ events: true });
    expect(
      out
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(bake);
    expect(err).toBe("");
  });
});

/** What a person sees: the lines of a terminal that understands newline, "cursor up n", "carriage return", "clear to the end". */
function screenOf(written: string): readonly string[] {
  const lines: string[] = [""];
  let row = 0;
  for (const part of written.split(/(\u001b\[\d*[A-Z]|\r|\n)/)) {
    const up = /^\u001b\[(\d+)A$/.exec(part);
    if (up !== null) row -= Number(up[1]);
    else if (part === "\u001b[J") lines.length = row + 1;
    else if (part === "\n") lines[++row] ??= "";
    else if (part === "\r") lines[row] = "";
    else lines[row] = (lines[row] ?? "") + part;
    expect(row).toBeGreaterThanOrEqual(0);
  }
  return lines.slice(0, -1);
}

describe("the live view", () => {
  function live(columns = 60) {
    const { streams, text } = recordingStreams({ isTTY: true, env: { NO_COLOR: "1" } });
    let now = 0;
    const reporter = createLiveReporter(createTerminal(streams), { columns: () => columns, nowMs: () => now });
    return { reporter, screen: () => screenOf(text.err), at: (ms: number) => (now = ms) };
  }

  it("keeps what is done and shows what runs below it", () => {
    const { reporter, screen, at: setTime } = live();
    for (const event of bake.slice(0, 6)) reporter.report(event);
    setTime(700);
    reporter.report(at({ type: "step-started", step: "extra/run", reason: { kind: "never-baked" } }));
    expect(screen()).toEqual([
      "Baking shop (4 steps) from /shop/bakehouse.yaml",
      "✔ foundation/debian from the cache · 98 MB · aaaaaaaaaaaa",
      "⠋ base/apt packages: 3 → 4 · 0.70 s",
      "⠋ extra/run not baked before · 0 ms",
    ]);
    for (const event of bake.slice(6)) reporter.report(event);
    reporter.end();
    expect(screen()).toEqual([
      "Baking shop (4 steps) from /shop/bakehouse.yaml",
      "✔ foundation/debian from the cache · 98 MB · aaaaaaaaaaaa",
      "✔ base/apt 1.2 s · 4.0 MB · bbbbbbbbbbbb",
      "image base: cccccccccccc, 1.3 s, 102 MB, NOT HERMETIC",
      "! the disk is nearly full",
      "Done in 1.4 s",
    ]);
  });

  it("never draws a line that would wrap, nor more lines than it can redraw", () => {
    const { reporter, screen } = live(30);
    for (let index = 1; index <= 12; index++)
      reporter.report(at({ type: "step-started", step: `layer-with-a-long-name/${index}`, reason: { kind: "never-baked" } }));
    expect(screen()).toHaveLength(9);
    expect(screen().at(-1)).toBe("  and 4 more");
    for (const line of screen()) expect(line.length).toBeLessThan(30);
    reporter.end();
    expect(screen()).toEqual([]);
  });

  it("clears what ran when the work was stopped", () => {
    const { reporter, screen } = live();
    reporter.report(at({ type: "step-started", step: "base/apt", reason: { kind: "never-baked" } }));
    reporter.report(at({ type: "step-failed", step: "base/apt", code: "STEP_FAILED", message: "exit 1", durationMs: 20 }));
    reporter.end();
    expect(screen()).toEqual(["✖ base/apt STEP_FAILED after 20 ms"]);
  });
});

describe("words", () => {
  it.each([
    [{ kind: "never-baked" } as const, "not baked before"],
    [{ kind: "parent-changed", parent: "base" } as const, "base changed"],
    [{ kind: "asked", by: "--no-cache" } as const, "asked by --no-cache"],
    [{ kind: "gone", what: "the diff" } as const, "the diff is gone from the store"],
  ])("%j", (reason, text) => expect(reasonText(reason)).toBe(text));

  it("says whom a step waits for, and what was tidied", () => {
    expect(eventText(at({ type: "step-waiting", step: "base/apt", owner: "process 77" }))).toBe(
      "base/apt: waiting for process 77, which bakes the same",
    );
    expect(eventText(at({ type: "tidied", kind: "mount", id: "/x" }))).toBe("Tidied what an earlier run left: mount /x");
    expect(eventText(at({ type: "bake-ended", outcome: "cancelled", durationMs: 5 }))).toBe("Stopped after 5 ms");
  });
});

it("the table at the end says hit or baked", () => {
  const { streams } = recordingStreams();
  const rows = [
    { layer: "foundation", cached: true, durationMs: 3, sizeBytes: 98_000_000, digest: digest("a"), hermetic: true },
    { layer: "release", cached: false, durationMs: 430, sizeBytes: 52_000_000, digest: digest("b"), hermetic: false },
  ];
  expect(bakeTable(rows, createTerminal(streams))).toBe(
    "layer                time   size  digest\nfoundation  hit            98 MB  aaaaaaaaaaaa\nrelease     baked  0.43 s  52 MB  bbbbbbbbbbbb  not hermetic\n",
  );
});
