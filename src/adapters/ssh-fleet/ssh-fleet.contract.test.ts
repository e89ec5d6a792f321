import { fleetProviderContract } from "../../ports/fleet-provider.contract.ts";
import { openTestFleet } from "./fleet.testing.ts";

fleetProviderContract(
  "ssh",
  async () => {
    const fleet = await openTestFleet(["web-1", "web-2"]);
    return {
      provider: fleet.provider,
      reopen: fleet.reopen,
      releases: [fleet.release("one"), fleet.release("two")],
      places: fleet.machines.map(({ host }) => ({ id: host.name, slot: host.name, zone: host.zone })),
      ask: { port: 80, path: "/", answer: (body) => body.trim() },
      crash: (id) => fleet.machine(id).powerOff(),
      close: fleet.close,
    };
  },
  120_000,
);
