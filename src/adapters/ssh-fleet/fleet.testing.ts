import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ImageDigest, Sha256 } from "../../core/digest.ts";
import type { SshFleet } from "../../core/fleet/model.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import type { FleetProvider } from "../../ports/fleet-provider.ts";
import type { Store } from "../../ports/store.ts";
import { openLocalStore } from "../local-store/local-store.ts";
import type { Sent } from "./deliver.ts";
import { startMachine, type TestMachine, type TestMachineOptions } from "./machine.testing.ts";
import { sshFleet } from "./ssh-fleet.ts";

type Release = FleetRelease & { readonly says: string; readonly volume: { readonly blob: Sha256; readonly path: string } };

export interface TestFleet {
  readonly store: Store;
  readonly fleet: SshFleet;
  readonly provider: FleetProvider;
  readonly machines: readonly TestMachine[];
  /** Everything that was sent, in order. */
  readonly sent: readonly Sent[];
  machine(id: string): TestMachine;
  /** The same fleet as another process opens it, or with something changed. */
  reopen(change?: Partial<SshFleet>): FleetProvider;
  /** A release whose machine answers with its text. @param bytes  how much else is in it, which cannot be packed */
  release(says: string, bytes?: number, change?: Partial<FleetRelease>): Release;
  close(): Promise<void>;
}

/** Real machines with real sshds, and a store with releases for them. */
export async function openTestFleet(names: readonly string[], options: Omit<TestMachineOptions, "authorizedKey"> = {}): Promise<TestFleet> {
  const folder = mkdtempSync(join(tmpdir(), "ssh-fleet-"));
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "key")]);
  const machines = await Promise.all(names.map((name) => startMachine(name, { ...options, authorizedKey: join(folder, "key.pub") })));
  const store = openLocalStore(join(folder, "store"));
  const fleet: SshFleet = {
    name: "web",
    provider: "ssh",
    size: names.length,
    zones: ["a"],
    runs: { pinned: "shop/release" },
    health: { probe: { kind: "http", path: "/", port: 80 }, intervalMs: 200, timeoutMs: 2000, healthyAfter: 2, unhealthyAfter: 3 },
    launch: { files: {}, credentials: {}, environment: {} },
    secrets: [],
    first: [],
    neverFirst: [],
    freeze: [],
    windows: [],
    newRelease: "refuse",
    hosts: machines.map(({ host }) => host),
    identity: "key",
    root: "/opt/bakehouse", // the default may be a store of this host
  };
  const sent: Sent[] = [];
  const opened: FleetProvider[] = [];
  const reopen = (change: Partial<SshFleet> = {}): FleetProvider => {
    const provider = sshFleet({ store, folder, onSend: (one) => sent.push(one) }, "shop", { ...fleet, ...change });
    opened.push(provider);
    return provider;
  };
  return {
    store,
    fleet,
    provider: reopen(),
    machines,
    sent,
    machine: (id) => machines.find(({ host }) => host.name === id) as TestMachine,
    reopen,
    release: (says, bytes = 0, change = {}) => ({
      image: digestOf(`image ${says}`),
      name: `shop/release-${says}`,
      diffs: [],
      volume: { blob: bakeVolume(store, folder, says, bytes), path: "/srv/shop" },
      entry: "shop.service",
      says,
      ...change,
    }),
    close: async () => {
      for (const provider of opened) await provider.dissolve();
      await Promise.all(machines.map((machine) => machine.close()));
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const digestOf = (text: string | Uint8Array): ImageDigest => `sha256:${createHash("sha256").update(text).digest("hex")}`;

function bakeVolume(store: Store, folder: string, says: string, bytes: number): Sha256 {
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "index.html"), `${says}\n`);
  writeFileSync(join(tree, "sub", "script"), "#!/bin/sh\n", { mode: 0o4755 });
  if (bytes > 0) writeFileSync(join(tree, "much"), randomBytes(bytes));
  const file = join(folder, "volume.erofs");
  execFileSync("mkfs.erofs", ["--quiet", file, tree]);
  const blob = digestOf(readFileSync(file));
  store.blobs.adopt(file, blob);
  rmSync(tree, { recursive: true });
  return blob;
}
