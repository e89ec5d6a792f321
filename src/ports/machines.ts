import type { Serve } from "./cells.ts";

/** Past the firmware: a kernel, what it unpacks first, and a root image that it only reads. */
export interface DirectBoot {
  readonly kind: "direct";
  /** Host path of a bzImage. */
  readonly kernel: string;
  /** Host paths or bytes, unpacked one over the other. */
  readonly initrd: readonly (string | Uint8Array)[];
  /** Host path of a file-system image; `/dev/vda` of the machine. */
  readonly root: string;
  readonly commandLine: string;
}

/** As a machine that is switched on: UEFI firmware finds the boot loader on the disk. */
export interface FirmwareBoot {
  readonly kind: "firmware";
  /** Host path. What the machine writes is kept only with `keepWrites`. */
  readonly disk: string;
  readonly format: "raw" | "qcow2";
  readonly bus: "virtio" | "nvme";
  readonly keepWrites: boolean;
  /** Host path of a kernel that hardware acceleration may be tried with, when it was not yet. */
  readonly probeKernel?: string;
}

export interface MachineRequest {
  readonly boot: DirectBoot | FirmwareBoot;
  readonly memoryMiB: number;
  /** TCP ports of the machine; each gets a port of the host's loopback. Nothing else of the host or beyond can be reached, but for `serve`. */
  readonly ports: readonly number[];
  /** What this process answers in the machine's network, at `MACHINE_NETWORK.server`: the one thing that it can reach. */
  readonly serve?: readonly Serve[];
}

/** `kvm` only when a guest was seen to start with it on this host; `why` says so for people. */
export interface Acceleration {
  readonly kind: "kvm" | "tcg";
  readonly why: string;
}

export interface MachineAnswer {
  readonly status: number;
  readonly body: string;
}

/** A virtual machine. It ends with the process that started it, however that ends. */
export interface Machine {
  readonly acceleration: Acceleration;
  /** Port of 127.0.0.1 that leads to a port of `ports`. */
  hostPort(port: number): number;
  /** One request to a port of `ports`; undefined when nothing answers. Redirects are not followed. */
  http(request: { readonly port: number; readonly path: string; readonly timeoutMs: number }): Promise<MachineAnswer | undefined>;
  /** What the serial console has shown, without control characters. */
  serial(): string;
  /** Processor time that emulating it took so far. */
  cpuSeconds(): number;
  isAlive(): boolean;
  /** Switches it off at once and removes what it used. The serial console can still be read. */
  stop(): Promise<void>;
}

/** Starts virtual machines on this host. */
export interface Machines {
  /** Whether this host accelerates guests. Tries it with the kernel when that is not known yet: a few seconds, once per start of the host. */
  acceleration(probeKernel: string | undefined): Promise<Acceleration>;
  /** @throws SETUP_INCOMPLETE (no QEMU or firmware), VM_FAILED (QEMU refuses), CANCELLED */
  start(request: MachineRequest, signal: AbortSignal): Promise<Machine>;
}
