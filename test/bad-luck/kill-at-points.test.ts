import { beforeAll, describe, expect, it } from "vitest";
import { CRASH_POINTS, type CrashPoint } from "../../src/ports/crash-points.ts";
import { type Bake, Kitchen } from "./kitchen.ts";

/** Every kind of change that a diff can hold, so that a half written one would show. */
const STEPS = `- run: |
    mkdir -p /srv/data && seq 1 2000 > /srv/data/numbers && ln /srv/data/numbers /srv/data/again
    ln -s numbers /srv/data/link && rm /etc/hostname && rm -rf /var/lib && mkdir /var/lib && mkfifo /srv/data/pipe
- copy: { from: app, to: /srv/app }
- file: { path: /etc/motd, content: "baked\\n" }`;

const LAYERS = `app:
  from: os
  steps:
${STEPS.replaceAll(/^(?=.)/gm, "    ")}
content:
  from: app
  release: { volume: /srv/content }
  steps:
    - copy: { from: app, to: /srv/content }`;

/**
 * Points of the lock are in kill-in-the-middle.test.ts, since this recipe needs none; those of the ledger in promotion.test.ts, those of
 * checks in checks.test.ts; those of rollouts in test/fleets/local-rollout.test.ts.
 */
const POINTS = CRASH_POINTS.filter((point) => !/^(?:lock|ledger|cycle|gc|check|rollout)-/.test(point));

function write(kitchen: Kitchen): void {
  for (let number = 0; number < 20; number++) kitchen.write(`app/page-${number}.html`, `<p>${"text ".repeat(number * 50)}</p>`);
  kitchen.layers(LAYERS);
}

describe("kill -9 at a point of a bake", () => {
  let calm: Bake;
  beforeAll(async () => {
    const kitchen = await Kitchen.open();
    write(kitchen);
    calm = await kitchen.bake();
    kitchen.close();
  });

  /** Once at a step of a layer, once where the volume comes by. */
  const places = POINTS.flatMap((point): readonly string[] =>
    isOfStep(point)
      ? [`${point}@app/copy`, ...(inVolume(point) ? [`${point}@content/volume`] : [])]
      : isOfLayer(point)
        ? [`${point}@app`, `${point}@content`]
        : [point],
  );

  it.each(places)("%s: the next run tidies, finishes, and gives the same digests", async (place) => {
    const kitchen = await Kitchen.open();
    write(kitchen);
    const killed = await kitchen.cli(["bake"], { env: { BAKEHOUSE_CRASH_AT: place } });
    expect(killed.code).toBe("SIGKILL");
    const bake = await kitchen.bake();
    expect(bake.digests).toEqual(calm.digests);
    expect(await kitchen.leftovers()).toEqual([]);
    expect(await kitchen.inspect()).toEqual({ images: 3, running: 0, misses: 0, problems: [] });
    kitchen.close();
  });
});

const isOfStep = (point: CrashPoint): boolean =>
  ["workspace-open", "step-ran", "workspace-closed", "normalised", "diff-written", "blob-adopted", "diff-adopted", "record-saved"].includes(
    point,
  );
const inVolume = (point: CrashPoint): boolean => ["diff-written", "blob-adopted", "record-saved"].includes(point);
const isOfLayer = (point: CrashPoint): boolean =>
  ["config-written", "manifest-written", "index-written", "catalog-written"].includes(point);
