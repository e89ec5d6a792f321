import { join } from "node:path";
import { bakeExample } from "../../../test/cells/bake-example.ts";
import type { Fleet } from "../../core/fleet/model.ts";
import { fleetRelease } from "../../engine/fleet-release.ts";
import { fleetProviderContract, type FleetUnderTest } from "../../ports/fleet-provider.contract.ts";
import { keeperOf } from "../cells/records.ts";
import { localFleet } from "./local-fleet.ts";
import { freePort } from "../local-host/free-port.ts";

async function open(): Promise<FleetUnderTest> {
  const baked = await bakeExample("examples/shop", { apart: true });
  const { bakehouse } = baked;
  const { store } = bakehouse.parts;
  const first = fleetRelease(store, "shop/release-volume");
  await bakehouse.bake(bakehouse.load(baked.folder, { parameters: { version: "2.0.0" } }));
  const second = fleetRelease(store, "shop/release-volume");
  const cells = await bakehouse.parts.cells();
  const fleet: Fleet = {
    name: "web",
    provider: "local",
    size: 2,
    zones: ["a", "b"],
    runs: { pinned: "shop/release-volume" },
    health: { probe: { kind: "http", path: "/health", port: 80 }, intervalMs: 200, timeoutMs: 5000, healthyAfter: 1, unhealthyAfter: 3 },
    traffic: { listen: await freePort(), backend: 80 },
    launch: { files: { "/etc/colour": "blue" }, credentials: {}, environment: { COLOUR: "blue" } },
    secrets: [],
    first: [],
    neverFirst: [],
    freeze: [],
    windows: [],
    newRelease: "refuse",
  };
  const make = () => localFleet({ store, cells, secrets: () => new Map() }, "shop", fleet);
  const provider = make();
  return {
    provider,
    reopen: make,
    releases: [
      { ...first, says: "1.0.0" },
      { ...second, says: "2.0.0" },
    ],
    places: [
      { id: "web-1-aaaa", slot: "web-1", zone: "a" },
      { id: "web-2-bbbb", slot: "web-2", zone: "b" },
    ],
    ask: { port: 80, path: "/health", answer: (body) => (JSON.parse(body) as { version: string }).version },
    crash: async (id) => {
      const keeper = keeperOf(join(store.path("cells"), cells.find(id).state.id));
      if (keeper !== undefined) process.kill(keeper.pid, "SIGKILL");
    },
    close: async () => {
      for (const { id } of await provider.observe()) await provider.terminate(id);
      await provider.dissolve();
      await baked.dispose();
    },
  };
}

fleetProviderContract("a local fleet", open, 300_000);
