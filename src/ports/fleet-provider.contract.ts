import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { InstanceReport } from "../core/fleet/instance.ts";
import type { FleetRelease } from "../core/fleet/release.ts";
import type { FleetProvider, InstancePlace } from "./fleet-provider.ts";

/** One fleet to try a provider on. */
export interface FleetUnderTest {
  readonly provider: FleetProvider;
  /** The same fleet, as another process would open it after a crash of the first. */
  reopen(): FleetProvider;
  /** Two that differ only in their volume where the provider can activate, else in their root; and what an instance of each says. */
  readonly releases: readonly [FleetRelease & { readonly says: string }, FleetRelease & { readonly says: string }];
  /** Of machines: those that are given, else what they may be called. At least two. */
  readonly places: readonly InstancePlace[];
  /** Where an instance says which release it is, and how that is read from the body. */
  readonly ask: { readonly port: number; readonly path: string; answer(body: string): string };
  /** Ends a machine as a power cut would. */
  crash(id: string): Promise<void>;
  close(): Promise<void>;
}

/** What every provider keeps to. Slow ones may say so. */
export function fleetProviderContract(name: string, open: () => Promise<FleetUnderTest>, timeoutMs = 60_000): void {
  describe(`${name} as a fleet provider`, () => {
    let fleet: FleetUnderTest;
    beforeAll(async () => {
      fleet = await open();
    }, timeoutMs);
    afterAll(() => fleet.close(), timeoutMs);

    const never = new AbortController().signal;
    const place = (index: number): InstancePlace => {
      const found = fleet.places[index];
      if (found === undefined) throw new Error(`The fleet under test has no place ${index}`);
      return found;
    };
    const reportOf = async (id: string, provider = fleet.provider): Promise<InstanceReport | undefined> =>
      (await provider.observe()).find((report) => report.id === id);
    const until = async (id: string, is: (report: InstanceReport | undefined) => boolean): Promise<InstanceReport | undefined> => {
      for (const end = performance.now() + timeoutMs * 0.8; ; await new Promise((go) => setTimeout(go, 50))) {
        const report = await reportOf(id);
        if (is(report) || performance.now() > end) return report;
      }
    };
    const says = (id: string): Promise<string> =>
      fleet.provider.http(id, { ...fleet.ask, timeoutMs: 5000 }).then(({ body }) => fleet.ask.answer(body));
    const bring = async (index: number, release: FleetRelease): Promise<string> => {
      const { id } = place(index);
      if (fleet.provider.can.replace) await fleet.provider.launch(place(index), release, never);
      else await fleet.provider.activate(id, release, never);
      await fleet.provider.admit(id, 100);
      await until(id, (report) => report?.health === "healthy" && report.serving);
      return id;
    };

    it(
      "brings an instance to a release, and measures that it runs it",
      async () => {
        const [release] = fleet.releases;
        const id = await bring(0, release);
        expect(await reportOf(id)).toMatchObject({
          ...place(0),
          provided: release.image,
          running: release.image,
          health: "healthy",
          serving: true,
          bootedAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        });
        expect(await says(id)).toBe(release.says);
      },
      timeoutMs,
    );

    it(
      "does what it is asked for a second time once, also for another process",
      async () => {
        const [release] = fleet.releases;
        const { id } = place(0);
        const before = await reportOf(id);
        for (const provider of [fleet.provider, fleet.reopen()]) {
          if (provider.can.replace) await provider.launch(place(0), release, never);
          if (provider.can.activate) await provider.activate(id, release, never);
          await provider.admit(id, 100);
        }
        const after = await reportOf(id, fleet.reopen());
        expect(after).toMatchObject({ id, running: release.image, bootedAt: before?.bootedAt });
        expect((await fleet.provider.observe()).filter((report) => report.id === id)).toHaveLength(1);
      },
      timeoutMs,
    );

    it(
      "exchanges the release of a running machine where it can, and goes back",
      async () => {
        if (!fleet.provider.can.activate) return;
        const { id } = place(0);
        const before = await reportOf(id);
        const [first, second] = fleet.releases;
        for (const release of [second, first, second]) {
          await fleet.provider.activate(id, release, never);
          expect(await until(id, (report) => report?.running === release.image && report.health === "healthy")).toMatchObject({
            running: release.image,
            provided: release.image,
            bootedAt: before?.bootedAt,
          });
          expect(await says(id)).toBe(release.says);
        }
      },
      timeoutMs,
    );

    it(
      "takes an instance out of traffic, and lets it in again",
      async () => {
        const { id } = place(0);
        expect(await fleet.provider.drain(id, 5000, never)).toBe(true);
        expect(await until(id, (report) => report?.serving === false)).toMatchObject({ serving: false });
        await fleet.provider.drain(id, 5000, never);
        await fleet.provider.admit(id, 100);
        expect(await until(id, (report) => report?.serving === true)).toMatchObject({ serving: true, health: "healthy" });
      },
      timeoutMs,
    );

    it(
      "runs programs in an instance and shows its log",
      async () => {
        const { id } = place(0);
        expect((await fleet.provider.commandLine(id, ["cat", "/etc/os-release"])).length).toBeGreaterThan(1);
        expect(await fleet.provider.logs(id, { lines: 5 })).not.toEqual([]);
        await expect(fleet.provider.commandLine("nobody", ["true"])).rejects.toMatchObject({ code: "INSTANCE_NOT_FOUND" });
        await expect(fleet.provider.logs("nobody", { lines: 1 })).rejects.toMatchObject({ code: "INSTANCE_NOT_FOUND" });
      },
      timeoutMs,
    );

    it(
      "tells of a machine that is gone, and never that it is healthy",
      async () => {
        const id = await bring(1, fleet.releases[0]);
        await fleet.crash(id);
        const report = await until(id, (now) => now?.running === undefined);
        expect(report?.running).toBeUndefined();
        expect(report?.health ?? "unknown").not.toBe("healthy");
        expect(report?.serving ?? false).toBe(false);
      },
      timeoutMs,
    );

    it(
      "ends what it made, twice if it is asked to, and leaves the rest alone",
      async () => {
        if (!fleet.provider.can.replace) return;
        await fleet.provider.terminate(place(1).id);
        await fleet.provider.terminate(place(1).id);
        await fleet.provider.terminate("never-was-there");
        expect((await fleet.provider.observe()).map(({ id }) => id)).toEqual([place(0).id]);
        await expect(fleet.provider.launch(place(1), fleet.releases[0], never)).rejects.toThrow(/twice|again/);
      },
      timeoutMs,
    );
  });
}
