import { isAbsolute, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { shortDigest, hexOf, type ImageDigest } from "../../core/digest.ts";
import { BakehouseError } from "../../core/errors.ts";
import type { InstanceReport } from "../../core/fleet/instance.ts";
import type { SshFleet, SshHost } from "../../core/fleet/model.ts";
import type { FleetRelease } from "../../core/fleet/release.ts";
import { suggestion } from "../../core/text/did-you-mean.ts";
import type { FleetProvider } from "../../ports/fleet-provider.ts";
import type { Store } from "../../ports/store.ts";
import { HostSilent, sshConnection, type SshConnection } from "./connection.ts";
import { ASK_MS, deliver, examine, type Sent } from "./deliver.ts";
import { looksOf, type Looks } from "./looks.ts";
import { measure, OBSERVE_MS, type Measured } from "./measure.ts";
import { fleetNotes, type MachineNote } from "./notes.ts";
import { erofsPayload, tarPayload } from "./payload.ts";
import { httpGet, lookAt } from "./probe.ts";
import { MachineRefused, refusal } from "./refusal.ts";
import { CONNECTIONS, LOGS, MARK_SERVING, PROGRAM, SWITCH } from "./scripts.ts";

export interface SshFleetParts {
  readonly store: Store;
  /** Of the recipe: what the path of the private key is meant from. */
  readonly folder: string;
  /** Told before each time that something of a release is sent. */
  onSend?(sent: Sent): void;
}

/**
 * Own machines, reached by OpenSSH, as the instances of a fleet. They are given, so none is made or ended: only the release volume
 * of each is exchanged. What is kept on them is drawn in `scripts.ts`, what is remembered here in `notes.ts`.
 */
export function sshFleet({ store, folder, onSend }: SshFleetParts, recipe: string, fleet: SshFleet): FleetProvider {
  const notes = fleetNotes(store, `${recipe}/${fleet.name}`);
  const identity = isAbsolute(fleet.identity) ? fleet.identity : resolve(folder, fleet.identity);
  const machines = new Map(fleet.hosts.map((host) => [host.name, machineOf(host, sshConnection(host, identity), fleet)]));
  const find = (id: string): Machine => {
    const found = machines.get(id);
    if (found !== undefined) return found;
    const hint = suggestion(id, [...machines.keys()], "hosts");
    throw new BakehouseError(
      "INSTANCE_NOT_FOUND",
      `Fleet ${fleet.name} has no host ${JSON.stringify(id)}`,
      hint === undefined ? {} : { hint },
    );
  };

  const observeOne = async ({ host, connection, looks }: Machine): Promise<InstanceReport> => {
    const note = notes.machine(host.name);
    const known = { id: host.name, slot: host.name, zone: host.zone, provided: note?.image };
    const measured = await measure(connection, fleet.root, note?.volume.path).catch(reasonOf);
    const observedAt = new Date().toISOString();
    if (typeof measured === "string")
      return { ...known, running: undefined, bootedAt: undefined, health: "unknown", why: measured, serving: false, observedAt };
    const { running, why } = imageOf(measured, note);
    const { health, ...verdict } = await looks.at(
      `${measured.bootedAt} ${measured.volume ?? ""}`,
      () => lookAt(host, connection, fleet.health),
      OBSERVE_MS,
    );
    const reasons = [why, verdict.why].filter((reason) => reason !== undefined);
    return {
      ...known,
      running,
      bootedAt: measured.bootedAt,
      health,
      ...(reasons.length === 0 ? {} : { why: reasons.join("; ") }),
      serving: measured.admitted && health === "healthy",
      observedAt: new Date().toISOString(),
    };
  };

  /** The image that a machine runs: one with the volume that was measured, and with its root, where the machine tells of one. */
  const imageOf = (
    { volume, diffs, why }: Measured,
    note: MachineNote | undefined,
  ): { readonly running: ImageDigest | undefined; readonly why?: string } => {
    if (volume === undefined) return { running: undefined, ...(why === undefined ? {} : { why }) };
    const releases = notes.releasesOf(volume);
    if (releases.length === 0)
      return { running: undefined, why: `it runs the volume ${shortDigest(volume)}, which no release of this fleet has had` };
    const fitting = releases.filter((release) => isRootOf(release.diffs, diffs));
    const [newest] = fitting;
    if (newest === undefined) return { running: undefined, why: rootDiffers(releases[0]?.diffs ?? [], diffs) };
    return { running: fitting.find(({ image }) => image === note?.image)?.image ?? newest.image };
  };

  /** Brings what is to be activated, where it is not there already. */
  const send = async ({ host, connection }: Machine, release: FleetRelease, signal: AbortSignal): Promise<MachineNote["volume"]> => {
    const { volume } = release;
    if (volume === undefined)
      throw new MachineRefused(`${release.name} has no release volume, and the root of an own machine is not exchanged`);
    notes.isBringing({ ...release, volume });
    const delivery = {
      instance: host.name,
      connection,
      root: fleet.root,
      volume,
      signal,
      payload: (kind: "erofs" | "tar") =>
        kind === "erofs" ? Promise.resolve(erofsPayload(store, volume.blob)) : tarPayload(store, volume.blob, notes.tars),
      onSend: (sent: Sent) => onSend?.(sent),
    };
    const examined = await examine(delivery);
    if (examined.refuses !== undefined) throw new MachineRefused(examined.refuses);
    if (!isRootOf(release.diffs, examined.diffs)) throw new MachineRefused(rootDiffers(release.diffs, examined.diffs));
    await deliver(delivery, examined);
    return volume;
  };

  const bring = async (machine: Machine, release: FleetRelease, signal: AbortSignal): Promise<void> => {
    const { host, connection, looks } = machine;
    for (let tries = 0; ; tries++) {
      const volume = await send(machine, release, signal);
      const parameters = [fleet.root, hexOf(volume.blob), volume.path, release.entry ?? ""];
      const ran = await connection.run(SWITCH, parameters, { timeoutMs: SWITCH_MS, signal });
      if (ran.code === 7 && tries < TRIES) continue; // another brought its own meanwhile, and removed this
      if (ran.code !== 0) throw refusal(ran);
      if (ran.stdout.includes("changed")) looks.forget();
      machine.observing = undefined; // it may have looked before
      return notes.brought(host.name, { image: release.image, volume });
    }
  };

  /** One at a time, also among processes: others would send the same bytes. */
  const alone = <T>(id: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    store.withLock(`fleet-${recipe}-${fleet.name}-${id}`, { signal }, work);

  const changing = async (
    id: string,
    release: FleetRelease,
    signal: AbortSignal,
    work: (machine: Machine) => Promise<unknown>,
  ): Promise<void> => {
    const machine = find(id);
    await alone(id, signal, () => work(machine)).catch((error: unknown) => {
      throw failed(machine.host, `cannot be brought to ${release.name}`, error);
    });
  };

  const tell = async ({ host, connection }: Machine, word: "drain" | "admit"): Promise<void> => {
    const mark = (): ReturnType<SshConnection["run"]> =>
      connection.run(MARK_SERVING, [fleet.root, word === "admit" ? "yes" : "no"], { timeoutMs: ASK_MS });
    // admitted only once the load balancer was told, drained from the moment that it is going to be
    const hook = fleet.hooks?.[word];
    const works = [mark, ...(hook === undefined ? [] : [() => connection.run(PROGRAM, hook, { timeoutMs: ASK_MS })])];
    for (const work of word === "admit" ? works.reverse() : works) {
      const ran = await work();
      if (ran.code !== 0) throw failed(host, `cannot ${word}`, refusal(ran));
    }
  };

  return {
    can: { replace: false, activate: true, weigh: false },
    observe: () => atMost(AT_ONCE, [...machines.values()], observed),
    launch: ({ id }) =>
      Promise.reject(
        new BakehouseError("INSTANCE_FAILED", `Fleet ${fleet.name} consists of machines that are given: ${id} cannot be made`, {
          hint: "add a host to the fleet in the recipe",
        }),
      ),
    prepare: (id, release, signal) => changing(id, release, signal, (machine) => send(machine, release, signal)),
    activate: (id, release, signal) => changing(id, release, signal, (machine) => bring(machine, release, signal)),
    admit: async (id) => {
      const machine = find(id);
      await tell(machine, "admit").catch((error: unknown) => Promise.reject(failed(machine.host, "cannot be let into traffic", error)));
    },
    drain: async (id, deadlineMs, signal) => {
      const machine = find(id);
      const end = performance.now() + deadlineMs;
      try {
        await tell(machine, "drain");
        return await areDone(machine.connection, fleet, end, signal);
      } catch (error) {
        throw failed(machine.host, "cannot be taken out of traffic", error);
      }
    },
    terminate: (id) => {
      notes.forget(id);
      return Promise.resolve();
    },
    logs: async (id, { lines, unit }) => {
      const { host, connection } = find(id);
      const ran = await connection.run(LOGS, [fleet.root, String(lines), unit ?? ""], { timeoutMs: ASK_MS }).catch((error: unknown) => {
        throw failed(host, "shows no log", error);
      });
      if (ran.code > 1) throw failed(host, "shows no log", refusal(ran));
      return ran.stdout.split("\n").filter((line) => line !== "");
    },
    commandLine: (id, argv) => new Promise((done) => done(find(id).connection.commandLine(argv))),
    http: async (id, request) => httpGet(find(id).host.address, request),
    dissolve: async () => {
      await atMost(AT_ONCE, [...machines.values()], ({ connection }) => connection.hangUp());
      notes.forgetTars();
    },
  };

  function observed(machine: Machine): Promise<InstanceReport> {
    if (machine.observing !== undefined) return machine.observing;
    const observing = observeOne(machine).finally(() => {
      if (machine.observing === observing) machine.observing = undefined;
    });
    return (machine.observing = observing);
  }
}

interface Machine {
  readonly host: SshHost;
  readonly connection: SshConnection;
  readonly looks: Looks;
  /** A look that is under way: whoever asks meanwhile is given the same. */
  observing: Promise<InstanceReport> | undefined;
}

const machineOf = (host: SshHost, connection: SshConnection, { health }: SshFleet): Machine => ({
  host,
  connection,
  looks: looksOf(health),
  observing: undefined,
});

/** A guess: systemd gives a service 90 s to stop and 90 s to start (systemd-system.conf(5)); there may be two, there and back. */
const SWITCH_MS = 400_000;
/** Programs of this host that look at machines at the same time; each takes about 5 MB. */
const AT_ONCE = 64;
const POLL_MS = 200;
/** How often somebody else may come between. */
const TRIES = 5;

/** A machine that tells nothing of its root has any. */
const isRootOf = (diffs: readonly string[], told: readonly string[]): boolean =>
  told.length === 0 || (told.length === diffs.length && told.every((diff, index) => diff === diffs[index]));

function rootDiffers(diffs: readonly string[], told: readonly string[]): string {
  const index = told.findIndex((diff, at) => diff !== diffs[at]);
  const at = index === -1 ? told.length : index;
  const name = (diff: string | undefined): string => (diff === undefined ? "none" : diff.slice("sha256:".length).slice(0, 12));
  return `root differs: its diff ${at + 1} is ${name(told[at])}, that of the release ${name(diffs[at])}`;
}

/** Whether nobody is connected any more to the port that the fleet's health is asked at; there is none: at once. */
async function areDone(
  connection: SshConnection,
  { root, health: { probe } }: SshFleet,
  end: number,
  signal: AbortSignal,
): Promise<boolean> {
  if (probe.kind === "command") return true;
  for (;;) {
    const { stdout } = await connection.run(CONNECTIONS, [root, String(probe.port)], { timeoutMs: OBSERVE_MS, isLook: true, signal });
    if (stdout.trim() === "0") return true;
    if (performance.now() > end) return false;
    await sleep(POLL_MS);
  }
}

/** Why a machine could not be asked, for its report: one that is odd must not hide the others. */
const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function failed(host: SshHost, what: string, error: unknown): unknown {
  if (!(error instanceof HostSilent || error instanceof MachineRefused)) return error;
  return new BakehouseError(
    error instanceof HostSilent ? "INSTANCE_UNREACHABLE" : "INSTANCE_FAILED",
    `${host.name} (${host.address}) ${what}: ${error.message}`,
    { details: { instance: host.name } },
    error,
  );
}

/** As `Promise.all`, but not all at the same time. */
async function atMost<T, Result>(count: number, items: readonly T[], work: (item: T) => Promise<Result>): Promise<readonly Result[]> {
  const results: Result[] = [];
  const left = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of left) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(count, items.length) }, worker));
  return results;
}
