import { z } from "zod";
import type { BootOutcome } from "../core/boot/watched-boot.ts";
import { defineCheck, type CheckAnswer } from "../core/checks/check.ts";
import { failed, noAnswer } from "./lib/answers.ts";
import { duration, milliseconds, port, unitName } from "./lib/options.ts";

const httpRequest = z.strictObject({
  path: z
    .string()
    .regex(/^\/\S*$/, "starts with /")
    .default("/")
    .describe("Path and query that are asked for"),
  port: port().default(80).describe("Port of the machine"),
  status: z.int().min(100).max(599).default(200).describe("Status of a right answer"),
});

const options = z
  .strictObject({
    kernel: z
      .enum(["direct", "firmware"])
      .default("direct")
      .describe("`direct`: QEMU starts the image's kernel. `firmware`: UEFI firmware starts the disk that `export --format raw` writes"),
    trimmed: z.boolean().optional().describe("Leave out what a smoke boot needs not; true if absent, always false with `kernel: firmware`"),
    http: z
      .union([z.string().regex(/^\/\S*$/, "starts with /"), httpRequest])
      .optional()
      .describe("Request that must be answered: a path (port 80, status 200), or more"),
    units: z.array(unitName()).min(1).optional().describe("Units that must be active when everything is started; with `kernel: direct`"),
    stays: duration().optional().describe("How long it must go on answering; absent: once is enough"),
    memory: z.int().min(128).max(65_536).default(512).describe("Memory of the machine, in MiB"),
  })
  .superRefine((value, context) => {
    if (value.kernel === "direct") return;
    const complain = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message, input: value });
    if (value.trimmed === true) complain("trimmed", "a boot through the firmware is never trimmed: leave it out");
    if (value.units !== undefined) complain("units", "only a direct boot tells the state of units: ask by http");
    if (value.http === undefined) complain("http", "a boot through the firmware is seen by its answer: name a path");
  });
type Options = z.output<typeof options>;

/** Of the attempt's time, for switching the machine on and off (a guess, for a busy host). */
const SPARE_MS = 5000;
/** With less than this share left for the machine, its silence would be this host's fault (a guess). */
const LEAST_SHARE = 0.25;
/** What people read of a console; the whole of it is long. */
const EXCERPT_LINES = 40;

/** Boots the image as a virtual machine. */
export const vmBoot = defineCheck({
  id: "vm-boot",
  version: 1,
  summary: "The image starts as a virtual machine",
  description: `Starts the image under QEMU and waits until it answers over HTTP, or without \`http\` until systemd has started everything.
The serial console is kept as evidence.

- \`kernel: direct\` (the default) starts the image's own kernel on its content. It is **trimmed**: sandboxes of systemd's own daemons, consoles, timers and device
  rules are left out by files in the machine's /run; **not a byte of the image is changed**, and its own services keep everything. 8 CPU seconds instead of 17
  without KVM. For every release.
- \`kernel: firmware\` starts the disk that \`export --format raw\` writes, through UEFI firmware and boot loader, with nothing left out: half a minute of CPU without
  KVM. For every new base or kernel.

KVM is used when a guest was seen to start with it; else QEMU emulates, and the evidence says why. A panic, a machine that ends, one that never answers: **failed**.
No QEMU: **error**. An image without a kernel: **failed**.`,
  examples: [
    `- vm-boot: { http: /health }`,
    `- vm-boot: { units: [shop.service], stays: 5s }`,
    `- vm-boot: { kernel: firmware, http: { path: /, port: 8080 } }
  name: disk-boots
  timeout: 10m`,
  ],
  options,
  platform: "vm",
  needs: ["vm"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 300_000 },
  async run({ options: given, vm, timeoutMs, signal, elapsedMs }) {
    const startedMs = elapsedMs();
    const problem = await vm.prepare({ kernel: given.kernel, signal });
    if (problem !== undefined) return failed("the image has no kernel that a machine could start", { remedy: problem.remedy, final: true });
    const leftMs = timeoutMs - (elapsedMs() - startedMs) - SPARE_MS;
    if (leftMs < timeoutMs * LEAST_SHARE)
      return noAnswer(`this host took ${Math.round((elapsedMs() - startedMs) / 1000)} s to make what the machine starts from`, {
        remedy: "`timeout:` beside the check gives it longer",
      });
    const boot = await vm.boot({
      kernel: given.kernel,
      trimmed: given.trimmed ?? given.kernel === "direct",
      memoryMiB: given.memory,
      expected: {
        ...(given.http === undefined
          ? {}
          : { http: typeof given.http === "string" ? httpRequest.parse({ path: given.http }) : given.http }),
        units: given.units ?? [],
        stayMs: given.stays === undefined ? 0 : milliseconds(given.stays),
      },
      timeoutMs: leftMs,
      signal,
    });
    const { acceleration } = boot;
    const seconds = Math.round(boot.elapsedMs / 100) / 10;
    return {
      ...wording(given, boot.outcome, boot.detail, seconds),
      answered: {
        outcome: boot.outcome,
        acceleration: acceleration.kind,
        accelerationReason: acceleration.why,
        elapsedMs: Math.round(boot.elapsedMs),
        cpuSeconds: boot.cpuSeconds,
        failedUnits: [...boot.failedUnits],
        status: boot.answer?.status ?? null,
      },
      excerpt: boot.serial.slice(-EXCERPT_LINES),
    };
  },
  selfTest: {
    sound: { options: {} },
    faulty: { options: {}, files: [{ path: "/usr/lib/systemd/systemd", content: "no program\n", mode: 0o755 }] },
  },
});

const SAYS: Readonly<Record<BootOutcome, string>> = {
  ready: "started",
  ended: "ended while it started",
  hopeless: "cannot start",
  wrong: "started, but not as it should",
  left: "started and did not stay up",
  timeout: "is not up",
};

function wording(
  { kernel, http }: Options,
  outcome: BootOutcome,
  detail: string,
  seconds: number,
): Pick<CheckAnswer, "verdict" | "summary" | "remedy"> {
  const by = kernel === "direct" ? "" : " through the firmware";
  if (outcome === "ready") return { verdict: "passed", summary: `started${by} in ${seconds} s: ${detail}` };
  return {
    verdict: "failed",
    summary: `the machine ${SAYS[outcome]}${by} after ${seconds} s: ${detail}`,
    remedy:
      outcome === "timeout" && http !== undefined
        ? "is the port right, and does the image configure its network (a .network file for virtual machines)? `timeout:` gives it longer"
        : "the console is in the excerpt; bakehouse check --check vm-boot tries again",
  };
}
