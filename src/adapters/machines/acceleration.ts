import { spawn } from "node:child_process";
import { accessSync, constants, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Acceleration } from "../../ports/machines.ts";
import type { Store } from "../../ports/store.ts";
import { findProgram, pathWithSystemFolders } from "../host-tools/find-program.ts";
import { QEMU } from "./qemu-arguments.ts";

/**
 * A kernel without a root file system says so and ends within a second; hosts whose /dev/kvm opens but whose guests hang
 * (some nested ones) let the firmware run and stop at the kernel, so nothing less than a kernel is a proof. Long enough for
 * a loaded host, short enough to wait for once.
 */
const PROBE_TIMEOUT_MS = 8000;
const SEEN = "Unable to mount root fs";
const KVM = "/dev/kvm";

/** Kept in the store as `machines-acceleration.json`: what was found, for which start of the host and which QEMU. */
interface Found extends Acceleration {
  readonly host: string;
}
const NOTE = "machines-acceleration.json";

/** Which acceleration guests get. Finds out once for each start of the host and each QEMU, whoever asks first. */
export async function findAcceleration(store: Store, probeKernel: string | undefined): Promise<Acceleration> {
  const closed = whyClosed();
  if (closed !== undefined) return { kind: "tcg", why: closed };
  const known = readNote(store);
  if (known !== undefined) return known;
  if (probeKernel === undefined) return { kind: "tcg", why: "no guest was tried with KVM on this host yet" };
  return store.withLock("machines-acceleration", {}, async () => {
    const byOther = readNote(store);
    if (byOther !== undefined) return byOther;
    const found = await tryKvm(store, probeKernel);
    if (!store.readOnly) store.writeNote(NOTE, { ...found, host: thisHost() } satisfies Found);
    return found;
  });
}

function whyClosed(): string | undefined {
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `${KVM} cannot be opened (${(error as NodeJS.ErrnoException).code ?? String(error)})`;
  }
}

/** The start of the host (proc(5), random/boot_id) and the QEMU that tries. */
function thisHost(): string {
  const qemu = findProgram(QEMU, pathWithSystemFolders(process.env["PATH"])) ?? "";
  return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${qemu === "" ? 0 : statSync(qemu).mtimeMs}`;
}

function readNote(store: Store): Acceleration | undefined {
  const note = store.readNote(NOTE) as Partial<Found> | undefined;
  if (note?.host !== thisHost() || note.why === undefined || (note.kind !== "kvm" && note.kind !== "tcg")) return undefined;
  return { kind: note.kind, why: note.why };
}

async function tryKvm(store: Store, kernel: string): Promise<Acceleration> {
  const id = `kvm-probe-${process.pid}-${Date.now().toString(36)}`;
  const folder = store.workFolder(id);
  const serial = join(folder, "serial.log");
  const guest = ["-accel", "kvm", "-cpu", "host", "-machine", "pc", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot"];
  const child = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "--", QEMU, ...guest, "-serial", `file:${serial}`, "-kernel", kernel, "-append", "console=ttyS0 panic=-1"],
    { stdio: ["ignore", "ignore", "pipe"], env: { PATH: pathWithSystemFolders(process.env["PATH"]), LC_ALL: "C" } },
  );
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint = (complaint + text).slice(-500)));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
  try {
    const deadline = Date.now() + PROBE_TIMEOUT_MS;
    const seen = (): boolean => textOf(serial).includes(SEEN);
    while (Date.now() < deadline && child.exitCode === null && child.signalCode === null && !seen()) await delay(50);
    if (seen()) return { kind: "kvm", why: "a guest was seen to start with KVM" };
    if (child.exitCode !== null)
      return { kind: "tcg", why: `QEMU could not use KVM: ${complaint.trim().split("\n").at(-1) ?? "it ended"}` };
    return { kind: "tcg", why: `${KVM} opens, but a guest that was started with it said nothing for ${PROBE_TIMEOUT_MS / 1000} s` };
  } finally {
    child.kill("SIGKILL");
    await ended;
    rmSync(serial, { force: true });
    store.releaseWorkFolder(id);
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}
