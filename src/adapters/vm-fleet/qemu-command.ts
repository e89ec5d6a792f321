import { AGENT_LINES } from "../../core/boot/guest-agent.ts";
import type { Acceleration } from "../../ports/machines.ts";

/** What machines of one snapshot have in common. The same devices in the same order: state goes from one process to another. */
export interface Hardware {
  readonly acceleration: Acceleration["kind"];
  readonly memoryMiB: number;
  readonly commandLine: string;
}

/** Files of a snapshot. */
export interface SnapshotFiles {
  readonly kernel: string;
  readonly initrd: string;
  readonly root: string;
  readonly volume?: string;
  /** The machine's memory. */
  readonly memory: string;
}

/** How one process differs from the others. */
export interface Role {
  /** `snapshot` writes into the file of the memory, `clone` keeps what it writes for itself. */
  readonly as: "snapshot" | "clone";
  /** Where the serial console goes. */
  readonly serial: string;
}

/**
 * One processor, no default devices, nothing of the host or beyond can be reached; what reaches the machine is forwarded when it runs.
 * Line 0 of QEMU's board is the console, the next ones are the agent's: sockets `line<n>.sock` in the folder that QEMU is started in.
 */
export function qemuArguments(hardware: Hardware, files: SnapshotFiles, { as, serial }: Role): readonly string[] {
  const { acceleration, memoryMiB, commandLine } = hardware;
  const isClone = as === "clone";
  const line = (index: number): string =>
    isClone ? `socket,id=line${index},path=${lineSocket(index)},server=on,wait=off` : `null,id=line${index}`;
  return [
    ...(acceleration === "kvm" ? ["-accel", "kvm", "-cpu", "host"] : ["-accel", `tcg,tb-size=${TRANSLATED_MIB}`, "-cpu", "qemu64,-svm"]),
    ...["-machine", "pc,memory-backend=ram", "-m", String(memoryMiB), "-smp", "1", "-nodefaults", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,resourcecontrol=deny"], // no more: it starts cat(1) for a state, and becomes a daemon
    ...["-object", `memory-backend-file,id=ram,size=${memoryMiB}M,mem-path=${escaped(files.memory)},share=${isClone ? "off" : "on"}`],
    ...["-chardev", `file,id=console,path=${escaped(serial)}`, "-device", "isa-serial,chardev=console,index=0"],
    ...AGENT_LINES.flatMap((_, index) => ["-chardev", line(index)]),
    ...["-device", "isa-serial,chardev=line0,index=1", "-device", "pci-serial,chardev=line1", "-device", "pci-serial,chardev=line2"],
    ...["-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,romfile="],
    ...["-kernel", files.kernel, "-initrd", files.initrd, "-append", commandLine],
    ...drive("root", files.root),
    ...(files.volume === undefined ? [] : drive("volume", files.volume)),
    ...(isClone ? ["-incoming", "defer"] : []),
  ];
}

/** What an emulated processor keeps of translated code: of each machine, and by itself up to 1 GiB. A guess. */
const TRANSLATED_MIB = 64;

const lineSocket = (index: number): string => `line${index}.sock`;

const drive = (id: string, file: string): readonly string[] => [
  ...["-drive", `if=none,id=${id},format=raw,readonly=on,file=${escaped(file)}`],
  ...["-device", `virtio-blk-pci,drive=${id}`],
];

/** A comma in a value of QEMU's own option syntax is doubled. */
const escaped = (path: string): string => path.replaceAll(",", ",,");
