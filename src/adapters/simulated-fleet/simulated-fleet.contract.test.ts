import type { ImageDigest } from "../../core/digest.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import { fleetProviderContract } from "../../ports/fleet-provider.contract.ts";
import { sleep, systemClock } from "../local-host/clock.ts";
import { simulatedFleet } from "./simulated-fleet.testing.ts";
import { SimulatedWorld, type WorldOptions } from "./world.testing.ts";

const digest = (letter: string): ImageDigest => `sha256:${letter.repeat(64)}`;
const release = (letter: string, root: string): FleetRelease & { readonly says: string } => ({
  image: digest(letter),
  name: `shop/release-${letter}`,
  diffs: [digest(root)],
  volume: { blob: digest(letter), path: "/srv" },
  says: digest(letter),
});

const PLACES = ["web-1", "web-2"].map((slot) => ({ id: slot, slot, zone: "a" }));
const realClock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => sleep(ms, signal ?? new AbortController().signal) };

const contract = (name: string, options: Omit<WorldOptions, "clock">, roots: readonly [string, string]): void =>
  fleetProviderContract(
    name,
    () => {
      const fast = { launchMs: 5, bootMs: 5, activateMs: 2, drainMs: 1, terminateMs: 1 };
      const world = new SimulatedWorld({ clock: realClock, ...fast, ...options });
      return Promise.resolve({
        provider: simulatedFleet(world),
        reopen: () => simulatedFleet(world),
        releases: [release("a", roots[0]), release("b", roots[1])],
        places: PLACES,
        ask: { port: 80, path: "/", answer: (body) => body },
        crash: (id) => Promise.resolve(world.kill(id)),
        close: () => Promise.resolve(),
      });
    },
    5000,
  );

contract("a simulated fleet", {}, ["c", "c"]);
contract("a simulated fleet that only replaces", { can: { activate: false } }, ["c", "d"]);
contract("a simulated fleet of given machines", { can: { replace: false }, hosts: PLACES }, ["c", "c"]);
