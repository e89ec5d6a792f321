import { MACHINE_NETWORK } from "../../core/boot/machine-network.ts";
import type { Acceleration, DirectBoot, FirmwareBoot, MachineRequest } from "../../ports/machines.ts";
import { relayCommand } from "./serve.ts";

export const QEMU = "qemu-system-x86_64";

/** Files of one machine, made before it starts. */
export interface MachineFiles {
  readonly serial: string;
  /** All parts of the initrd, one behind the other. */
  readonly initrd: string;
  readonly firmware: string;
  /** The firmware's variables: a copy, since it writes there. */
  readonly firmwareVariables: string;
}

/**
 * What QEMU is started with. No default devices, one processor (two emulated ones wait for each other on a busy host: 32
 * against 24 CPU s), a network that leads nowhere but to the published and the served ports, and QMP on its standard input and output.
 */
export function qemuArguments(request: MachineRequest, acceleration: Acceleration["kind"], files: MachineFiles): readonly string[] {
  const { boot } = request;
  const forwards = request.ports.map((port) => `,hostfwd=tcp:127.0.0.1:0-:${port}`).join("");
  const served = (request.serve ?? [])
    .map(({ port }) => `,guestfwd=tcp:${MACHINE_NETWORK.server}:${port}-cmd:${relayCommand(port)}`)
    .join("");
  return [
    ...(acceleration === "kvm" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", "tcg", "-cpu", "qemu64,-svm"]),
    ...["-machine", boot.kind === "direct" ? "pc" : "q35", "-m", String(request.memoryMiB), "-smp", "1"],
    ...["-nodefaults", "-display", "none", "-no-reboot", "-qmp", "stdio", "-serial", `file:${files.serial}`],
    ...["-netdev", `user,id=net,restrict=on${forwards}${served}`, "-device", "virtio-net-pci,netdev=net,romfile="],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"],
    ...(boot.kind === "direct" ? directBoot(boot, files) : firmwareBoot(boot, files)),
  ];
}

const directBoot = (boot: DirectBoot, files: MachineFiles): readonly string[] => [
  ...["-kernel", boot.kernel, "-initrd", files.initrd, "-append", boot.commandLine],
  ...["-drive", `if=none,id=root,format=raw,readonly=on,file=${escaped(boot.root)}`, "-device", "virtio-blk-pci,drive=root"],
];

const firmwareBoot = (boot: FirmwareBoot, files: MachineFiles): readonly string[] => [
  ...["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${files.firmware}`],
  ...["-drive", `if=pflash,unit=1,format=raw,file=${escaped(files.firmwareVariables)}`],
  ...["-drive", `if=none,id=disk,format=${boot.format},snapshot=${boot.keepWrites ? "off" : "on"},file=${escaped(boot.disk)}`],
  ...["-device", boot.bus === "nvme" ? "nvme,drive=disk,serial=bakehouse" : "virtio-blk-pci,drive=disk"],
];

/** A comma in a value of QEMU's own option syntax is doubled. */
const escaped = (path: string): string => path.replaceAll(",", ",,");
