import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { BakehouseError } from "../../core/errors.ts";
import type { Acceleration, Machine, MachineAnswer, MachineRequest, Machines } from "../../ports/machines.ts";
import type { Store } from "../../ports/store.ts";
import { checkSetup } from "../host-tools/check-setup.ts";
import { thisHost, type Host } from "../host-tools/host.ts";
import { findProgram, pathWithSystemFolders } from "../host-tools/find-program.ts";
import { findAcceleration } from "./acceleration.ts";
import { QEMU, qemuArguments, type MachineFiles } from "./qemu-arguments.ts";
import { qmpOf, type Qmp } from "./qmp.ts";
import { answerIn } from "./serve.ts";

/**
 * Virtual machines by QEMU. Each has a folder `work/machine-…` in the store for its serial log and what it writes; the kernel
 * ends QEMU when this process dies (parent-death signal), and the next run finds the folder.
 */
export function qemuMachines(store: Store, host: Host = thisHost()): Machines {
  return {
    acceleration: (probeKernel) => {
      checkSetup(["machines"], host);
      return findAcceleration(store, probeKernel);
    },
    start: async (request, signal) => {
      checkSetup(["machines"], host);
      refuseMissing(request);
      const { boot } = request;
      const acceleration = await findAcceleration(store, boot.kind === "direct" ? boot.kernel : boot.probeKernel);
      throwIfCancelled(signal);
      return startMachine(store, request, acceleration, signal);
    },
  };
}

/** OVMF as Debian ships it, the newer layout first. */
const FIRMWARE = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd"] as const;

/** QEMU opens its listening ports before the guest's first instruction; a loaded host takes seconds to load it. */
const START_TIMEOUT_MS = 60_000;

function refuseMissing({ boot }: MachineRequest): void {
  const files = boot.kind === "direct" ? [boot.kernel, boot.root, ...boot.initrd.filter((part) => typeof part === "string")] : [boot.disk];
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) throw new BakehouseError("VM_FAILED", `${missing} is not there, so no machine can be started from it`);
}

async function startMachine(store: Store, request: MachineRequest, acceleration: Acceleration, signal: AbortSignal): Promise<Machine> {
  const id = `machine-${process.pid}-${Date.now().toString(36)}-${(machines++).toString(36)}`;
  const folder = store.workFolder(id);
  let hangUp = (): void => undefined;
  try {
    const files = prepare(folder, request);
    hangUp = await answerIn(folder, request.serve ?? []);
    const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", QEMU, ...qemuArguments(request, acceleration.kind, files)], {
      stdio: ["pipe", "pipe", "pipe"],
      cwd: folder,
      env: { PATH: pathWithSystemFolders(process.env["PATH"]), LC_ALL: "C", TMPDIR: folder },
    });
    const complaints = child.stderr === null ? Promise.resolve("") : text(child.stderr);
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
    const release = async (): Promise<void> => {
      child.kill("SIGKILL");
      await ended;
      hangUp();
      store.releaseWorkFolder(id);
    };
    try {
      const ports = await listeningPorts(qmpOf(child), request.ports, signal);
      return machineOf({ child, serialFile: files.serial, acceleration, ports, release });
    } catch (cause) {
      child.kill("SIGKILL");
      const said = (await complaints).trim();
      throwIfCancelled(signal);
      throw new BakehouseError("VM_FAILED", `QEMU could not start the machine${said === "" ? "" : `: ${said}`}`, {}, cause);
    }
  } catch (error) {
    hangUp();
    store.releaseWorkFolder(id);
    throw error;
  }
}

let machines = 0;

function prepare(folder: string, { boot }: MachineRequest): MachineFiles {
  const path = pathWithSystemFolders(process.env["PATH"]);
  const firmware = FIRMWARE.find((file) => findProgram(file, path) !== undefined) ?? FIRMWARE[0];
  const files = {
    serial: join(folder, "serial.log"),
    initrd: join(folder, "initrd"),
    firmware,
    firmwareVariables: join(folder, "firmware-variables.fd"),
  };
  writeFileSync(files.serial, "");
  if (boot.kind === "direct") writeFileSync(files.initrd, joined(boot.initrd));
  else copyFileSync(firmware.replace("_CODE", "_VARS"), files.firmwareVariables);
  return files;
}

/** The kernel skips zeros between archives, each of which must begin at a multiple of 4. */
function joined(parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = typeof part === "string" ? readFileSync(part) : part;
      return [bytes, new Uint8Array((4 - (bytes.length % 4)) % 4)];
    }),
  );
}

/** Which ports of the loopback QEMU took for ours: it was asked for any free one, so that no two machines want the same. */
async function listeningPorts(qmp: Qmp, wanted: readonly number[], signal: AbortSignal): Promise<ReadonlyMap<number, number>> {
  const late = delay(START_TIMEOUT_MS, undefined, { signal, ref: false }).then(() => {
    throw new Error(`QEMU did not answer within ${START_TIMEOUT_MS / 1000} s`);
  });
  late.catch(() => undefined);
  const listed = await Promise.race([qmp.monitor("info usernet"), late]);
  const rows = [...listed.matchAll(/HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)/g)];
  const ports = new Map(rows.map(([, host, guest]) => [Number(guest), Number(host)]));
  const missing = wanted.find((port) => !ports.has(port));
  if (missing !== undefined) throw new Error(`QEMU publishes no port for ${missing}: ${listed}`);
  return ports;
}

interface Parts {
  readonly child: ChildProcess;
  readonly serialFile: string;
  readonly acceleration: Acceleration;
  readonly ports: ReadonlyMap<number, number>;
  release(): Promise<void>;
}

function machineOf({ child, serialFile, acceleration, ports, release }: Parts): Machine {
  let last = { serial: "", cpuSeconds: 0 };
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null;
  const hostPort = (port: number): number => {
    const found = ports.get(port);
    if (found === undefined) throw new Error(`Port ${port} of the machine was not asked for`);
    return found;
  };
  const serial = (): string => (last = { ...last, serial: readIfThere(serialFile) ?? last.serial }).serial;
  const cpuSeconds = (): number => (last = { ...last, cpuSeconds: cpuSecondsOf(child.pid) ?? last.cpuSeconds }).cpuSeconds;
  return {
    acceleration,
    hostPort,
    http: (request) => (isAlive() ? ask(hostPort(request.port), request.path, request.timeoutMs) : Promise.resolve(undefined)),
    serial,
    cpuSeconds,
    isAlive,
    stop: async () => {
      serial();
      cpuSeconds();
      await release();
    },
  };
}

const readIfThere = (file: string): string | undefined =>
  existsSync(file) ? stripVTControlCharacters(readFileSync(file, "utf8")).replaceAll("\r", "") : undefined;

/** Linux counts in USER_HZ, which is 100 on x86 (time(7)). */
function cpuSecondsOf(pid: number | undefined): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid ?? 0}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}

/** An answer is read up to 1 MB: it is evidence, not a download. */
const MOST_BYTES = 1_000_000;

function ask(port: number, path: string, timeoutMs: number): Promise<MachineAnswer | undefined> {
  return new Promise((resolve) => {
    const request = get({ host: "127.0.0.1", port, path, agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        body += chunk;
        if (body.length > MOST_BYTES) request.destroy();
      });
      response.once("close", () => resolve({ status: response.statusCode ?? 0, body: body.slice(0, MOST_BYTES) }));
    });
    request.once("error", () => resolve(undefined));
  });
}

function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted) throw new BakehouseError("CANCELLED", "Stopped while a machine was starting");
}
