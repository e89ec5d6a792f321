import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fixtureStore, put, type FixtureStore } from "../../test/image-store.ts";
import { knownSecurityUpdates } from "../adapters/apt-resolver/security-updates.ts";
import { buildIndex } from "../adapters/apt-resolver/package-index.ts";
import type { Channel } from "../core/channel/model.ts";
import type { ImageDigest } from "../core/digest.ts";
import { BakehouseError } from "../core/errors.ts";
import { ANNOTATIONS } from "../core/image/oci.ts";
import { PREDICATES } from "../core/papers/statement.ts";
import { channelParts } from "../presets/channels.ts";
import { openImages, type ImageParts } from "../presets/images.ts";
import { approveImage } from "./approve-image.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { declareChannels } from "./declare-channels.ts";
import { findImage } from "./find-image.ts";
import { listChannels } from "./list-channels.ts";
import { promoteImage, type Promotion } from "./promote-image.ts";
import { requireNotRevoked } from "./require-not-revoked.ts";
import { revokeImage, type RevokeParts } from "./revoke-image.ts";
import { rollBackChannel } from "./roll-back-channel.ts";
import { staleImages, staleReasonText } from "./stale-images.ts";

let fixture: FixtureStore;
let images: ImageParts;
let parts: RevokeParts;
let now: Date;
/** What the machine's own clock says; the wall's is `now`. */
let uptimeMs: number;

const HOUR = 3_600_000;

beforeEach(() => {
  fixture = fixtureStore();
  images = openImages({ store: fixture.store.root });
  now = new Date("2026-11-25T12:00:00.000Z");
  uptimeMs = 0;
  parts = {
    ...channelParts(images, {}),
    clock: { now: () => now, elapsedMs: () => 0 },
    machineClock: () => ({ bootId: "test", uptimeMs }),
  };
});
afterEach(async () => {
  await images.close();
  fixture.remove();
});

const later = (hours: number): void => {
  now = new Date(now.getTime() + hours * HOUR);
  uptimeMs += hours * HOUR;
};

const channel = (name: string, rules: Partial<Channel> = {}): Channel => ({
  ...{ name, checks: [], minTimeMs: 0, approvals: { count: 0, by: [] }, sbom: { packages: [], licences: [] }, freeze: [] },
  ...rules,
});

const declare = (...channels: readonly Channel[]): Promise<boolean> =>
  declareChannels(parts, { name: "shop", channels } as unknown as Parameters<typeof declareChannels>[1]);

let count = 0;
const bake = (name = "shop/release", parent?: ImageDigest, annotations?: Readonly<Record<string, string>>): Promise<ImageDigest> =>
  fixture.bake({
    name,
    ...(parent === undefined ? {} : { parent }),
    ...(annotations === undefined ? {} : { annotations }),
    steps: [{ address: `${name.split("/")[1] ?? ""}/copy`, change: (upper) => put(upper, { "srv/version": String(count++) }) }],
  });

const promote = (image: string, to: string): Promise<Promotion> => promoteImage(parts, { image, to });

const refused = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof BakehouseError)) throw new Error("it was not refused", { cause: error });
  return `${error.code}: ${error.message}`;
};

describe("a promotion", () => {
  it("waits for the time in the channel before, and believes no clock that jumps", async () => {
    await declare(channel("dev"), channel("qa", { minTimeMs: 2 * HOUR }));
    const image = await bake();
    await promote(image, "dev");
    later(1);
    expect(await refused(promote(image, "qa"))).toContain("min-time: failed: 60 min in dev, at least 2 h are asked for");
    now = new Date(now.getTime() + 1000 * HOUR); // somebody sets the clock forward
    expect(await refused(promote(image, "qa"))).toContain("min-time: failed: 60 min in dev");
    now = new Date("2026-11-25T11:00:00.000Z"); // … and back, before the promotion to dev
    expect(await refused(promote(image, "qa"))).toContain("min-time: inconclusive");
    now = new Date("2026-11-25T13:00:00.000Z");
    later(1);
    expect((await promote(image, "qa")).record).toBeDefined();
  });

  it("by a clock that was set back opens no freeze window", async () => {
    await declare(channel("dev", { freeze: [{ cron: "0 12 * * *", durationMs: HOUR, zone: "UTC" }] }));
    const image = await bake();
    expect(await refused(promote(image, "dev"))).toContain("freeze: failed: frozen until 2026-11-25 13:00 UTC");
    later(1);
    await promote(image, "dev");
    const next = await bake();
    now = new Date("2026-11-25T11:30:00.000Z");
    expect(await refused(promote(next, "dev"))).toContain(
      "freeze: inconclusive: the clock stands at 2026-11-25 11:30 UTC, before the last record",
    );
  });

  it("of an image without a recipe's channels is refused with what to write", async () => {
    await bake();
    expect(await refused(promote("shop", "dev"))).toBe('CHANNEL_NOT_FOUND: The recipe "shop" of shop/release declares no channels');
    await declare(channel("dev"), channel("qa"));
    expect(await refused(promote("shop", "qaa"))).toContain('has no channel "qaa"');
  });

  it("of an image whose parent is not in the store cannot be decided", async () => {
    await declare(channel("dev"));
    const base = await bake("shop/base");
    const image = await bake("shop/release", base);
    await fixture.store.images.remove([base]);
    expect(await refused(promote(image, "dev"))).toContain("revocation: inconclusive");
  });

  it("counts an approval for one digest, and not one that was withdrawn", async () => {
    await declare(channel("dev", { approvals: { count: 1, by: [] } }));
    const first = await bake();
    const options = { image: first, to: "dev", as: "anna", withdraw: false };
    await approveImage(parts, options);
    expect((await approveImage(parts, options)).record).toBeUndefined();
    const second = await bake();
    expect(await refused(promote(second, "dev"))).toContain("nobody has approved");
    await approveImage(parts, { ...options, withdraw: true });
    expect(await refused(promote(first, "dev"))).toContain("approvals: failed");
    await approveImage(parts, options);
    await promote(first, "dev");
  });

  it("is told when the recipe changed, once", async () => {
    expect(await declare()).toBe(false);
    expect(await declare(channel("dev"))).toBe(true);
    expect(await declare(channel("dev"))).toBe(false);
    expect(await declare()).toBe(true);
    await bake();
    expect(await refused(promote("shop", "dev"))).toContain("declares no channels");
  });
});

describe("an image named by its channel", () => {
  it("is the one that the channel points to, wherever images are named", async () => {
    await declare(channel("dev"), channel("qa"));
    const first = await bake();
    await promote(first, "dev");
    await bake();
    for (const reference of ["shop@dev", "shop/release@dev"]) expect(findImage(fixture.store, reference).digest).toBe(first);
    expect(() => findImage(fixture.store, "shop@qa")).toThrow(expect.objectContaining({ code: "CHANNEL_NOT_FOUND" }));
    const other = await bake("shop/other");
    await promote(other, "dev");
    expect(() => findImage(fixture.store, "shop@dev")).toThrow(expect.objectContaining({ code: "REFERENCE_AMBIGUOUS" }));
    expect(await refused(rollBackChannel(parts, { channel: "dev" }))).toContain("REFERENCE_AMBIGUOUS");
    await expect(listChannels(parts, "examples/shop/")).rejects.toMatchObject({ help: { hint: "bakehouse channels shop" } });
    await expect(listChannels(parts, "shpo")).rejects.toMatchObject({ help: { hint: 'did you mean "shop"?' } });
    expect((await listChannels(parts, "shop")).map(({ name, channel: each, image }) => [name, each, image])).toEqual([
      ["shop/other", "dev", other],
      ["shop/other", "qa", undefined],
      ["shop/release", "dev", first],
      ["shop/release", "qa", undefined],
    ]);
  });
});

describe("gc", () => {
  const gc = async (apply = true): Promise<ReadonlyMap<string, string>> => {
    const report = await collectGarbage(
      {
        store: images.store,
        contents: await images.contents(),
        mounts: await images.mounts(),
        cells: await images.cells(),
        clock: images.clock,
        catalog: images.catalog,
      },
      { apply, keep: 1, recentMs: 0, packagesOlderThanMs: 0, packages: false, signal: new AbortController().signal },
    );
    return new Map(report.items.filter(({ kind, keep }) => kind === "image" && keep).map(({ id, why }) => [id, why]));
  };

  it("leaves what channels point to, and what they can be rolled back to", async () => {
    await declare(channel("dev"), channel("qa"));
    const all: ImageDigest[] = [];
    for (let index = 0; index < 6; index++) {
      all.push(await bake());
      if (index < 5) await promote("shop", "dev");
      if (index === 0) await promote("shop", "qa");
    }
    const kept = await gc();
    expect([...kept.keys()].sort()).toEqual([all[0], all[2], all[3], all[4], all[5]].sort());
    expect(kept.get(all[0]!)).toBe("shop/release@qa points to it");
    expect(kept.get(all[2]!)).toBe("shop/release@dev can be rolled back to it");
    await rollBackChannel(parts, { channel: "shop@dev" });
    await rollBackChannel(parts, { channel: "shop@dev" });
    expect(findImage(fixture.store, "shop@dev").digest).toBe(all[2]);
    // the first one is in qa, and so here still; the second went with gc and is passed over
    await rollBackChannel(parts, { channel: "shop@dev" });
    expect(findImage(fixture.store, "shop@dev").digest).toBe(all[0]);
  });
});

describe("images that must be baked again", () => {
  const stale = async (): Promise<readonly string[]> =>
    (await staleImages(parts)).images.map(({ name, why }) => `${name}: ${why.map(staleReasonText).join("; ")}`);

  it("are those whose parent was baked again, lowest first", async () => {
    const foundation = await bake("shop/foundation");
    const base = await bake("shop/base", foundation);
    await bake("shop/release", base);
    expect(await stale()).toEqual([]);
    const newer = await bake("shop/foundation");
    expect(await stale()).toEqual([
      `shop/base: shop/foundation was baked again: ${foundation.slice(7, 19)} → ${newer.slice(7, 19)}`,
      "shop/release: shop/base, which it stands on, must be baked again",
    ]);
  });

  it("are those whose channel moved, and not those whose channel did not", async () => {
    await declare(channel("stable"));
    const first = await bake("shop/base");
    await promote(first, "stable");
    await bake("app/release", first, { [ANNOTATIONS.baseReference]: "shop/base@stable" });
    const second = await bake("shop/base");
    expect(await stale()).toEqual([]); // baked, but not stable yet
    await promote(second, "stable");
    expect(await stale()).toEqual([`app/release: shop/base@stable has moved from ${first.slice(7, 19)} to ${second.slice(7, 19)}`]);
  });

  it("are those that stand on a revoked one", async () => {
    const base = await bake("shop/base");
    const image = await bake("shop/release", base);
    await revokeImage(parts, { image: base, reason: "leaks" });
    expect(await stale()).toHaveLength(2);
    expect(() => requireNotRevoked(parts, image)).toThrow(
      expect.objectContaining({ code: "IMAGE_REVOKED", message: expect.stringContaining("shop/base") }),
    );
    const safe = await bake("shop/base");
    expect(() => requireNotRevoked(parts, base)).toThrow(
      expect.objectContaining({ help: expect.objectContaining({ hint: `use shop/base (${safe.slice(7, 19)})` }) }),
    );
    expect(() => requireNotRevoked(parts, safe)).not.toThrow();
    const last = await bake("shop/base");
    await revokeImage(parts, { image: last, reason: "leaks, too" });
    expect(() => requireNotRevoked(parts, last)).toThrow(
      expect.objectContaining({ help: expect.objectContaining({ hint: `use the one before it, shop/base (${safe.slice(7, 19)})` }) }),
    );
  });
});

describe("security updates", () => {
  /** What `lock` leaves of a suite, for a release of Debian. */
  function writeLists(version: string, date: string, packages: Readonly<Record<string, string>>): void {
    const text = Object.entries(packages)
      .map(([name, newest]) => `Package: ${name}\nVersion: ${newest}\nArchitecture: amd64\nPriority: optional\n`)
      .join("\n");
    const hex = createHash("sha256").update(text).digest("hex");
    const folder = fixture.store.path("apt", "lists", hex);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "Packages"), `${text}\n`);
    writeFileSync(join(folder, "index"), buildIndex(join(folder, "Packages")));
    mkdirSync(fixture.store.path("apt", "releases"), { recursive: true });
    writeFileSync(
      fixture.store.path("apt", "releases", createHash("sha256").update(version).digest("hex")),
      `Origin: Debian\nLabel: Debian-Security\nSuite: x-security\nVersion: ${version}\nCodename: x-security\nDate: ${new Date(date).toUTCString().replace("GMT", "UTC")}\nArchitectures: amd64\nComponents: main\nSHA256:\n ${hex} ${text.length} main/binary-amd64/Packages\n`,
    );
  }

  const attest = async (image: ImageDigest, packages: Readonly<Record<string, string>>): Promise<unknown> =>
    (await images.papers()).attach({ name: "shop/release", digest: image }, PREDICATES.spdx, {
      packages: Object.entries(packages).map(([name, versionInfo]) => ({
        name,
        versionInfo,
        licenseDeclared: "MIT",
        externalRefs: [{ referenceLocator: `pkg:deb/debian/${name}@${versionInfo}?arch=amd64&distro=debian-12` }],
      })),
    });

  it("are looked for in the lists of the image's own release", async () => {
    expect(knownSecurityUpdates(fixture.store.path("apt"), { release: "12", packages: ["openssl"] })).toBeUndefined();
    writeLists("13", "2026-11-24T00:00:00Z", { openssl: "9.0" });
    writeLists("12", "2026-11-23T00:00:00Z", { openssl: "3.0.2", curl: "8.1" });
    expect(knownSecurityUpdates(fixture.store.path("apt"), { release: "12", packages: ["openssl", "bash"] })).toEqual({
      date: "2026-11-23T00:00:00.000Z",
      versions: new Map([["openssl", "3.0.2"]]),
    });
  });

  it("keep an image out of a channel, and make it stale", async () => {
    await declare(channel("dev", { sbom: { packages: ["telnetd"], licences: ["AGPL-*"], securityOlderThanMs: 24 * HOUR } }));
    const image = await bake();
    expect(await refused(promote(image, "dev"))).toContain("3 gates are not met");
    await attest(image, { openssl: "3.0.1", bash: "5.2" });
    expect(await refused(promote(image, "dev"))).toContain("the store has no list of security updates");
    writeLists("12", "2026-11-23T00:00:00Z", { openssl: "3.0.2" });
    expect(await refused(promote(image, "dev"))).toContain("security updates are missing for 2 days or more: openssl 3.0.1 (3.0.2)");
    expect((await staleImages(parts)).images.map(({ why }) => why.map(staleReasonText))).toEqual([
      ["security updates of 2026-11-23: openssl 3.0.1 → 3.0.2"],
    ]);
    writeLists("12", "2026-11-25T00:00:00Z", { openssl: "3.0.1" });
    await promote(image, "dev");
  });
});
