import { BakehouseError } from "../core/errors.ts";
import type { VmBootReport, VmBootRequest, VmBoots } from "../ports/check-services.ts";
import type { Clock } from "../ports/host.ts";
import type { Machine } from "../ports/machines.ts";
import type { ImageContent } from "./image-content.ts";
import { openImageMachine, type ImageMachine, type ImageMachineParts } from "./image-machine.ts";
import { watchBoot } from "./watch-boot.ts";

/** An image as virtual machines for checks. What they start from is made with the first one, and removed by `close`. */
export function vmBoots(
  parts: ImageMachineParts,
  content: Pick<ImageContent, "source" | "entry" | "epochSeconds" | "name">,
  clock: Pick<Clock, "elapsedMs">,
): VmBoots & { close(): Promise<void> } {
  let opened: Promise<ImageMachine> | undefined;
  const open = (signal: AbortSignal): Promise<ImageMachine> =>
    (opened ??= openImageMachine(parts, content, signal).catch((error: unknown) => {
      opened = undefined;
      throw error;
    }));
  return {
    prepare: async ({ kernel, signal }) => {
      try {
        await (await open(signal)).prepare(kernel, signal);
        return undefined;
      } catch (error) {
        if (!(error instanceof BakehouseError) || error.code !== "INPUT_INVALID") throw error;
        return { remedy: error.help.hint ?? error.message };
      }
    },
    boot: async (request) => bootOnce(await startFor(await open(request.signal), request), request, clock),
    close: async () => {
      const made = await opened?.catch(() => undefined);
      opened = undefined;
      await made?.close();
    },
  };
}

function startFor(image: ImageMachine, { kernel, trimmed, memoryMiB, expected, signal }: VmBootRequest): Promise<Machine> {
  const ports = expected.http === undefined ? [] : [expected.http.port];
  if (kernel === "firmware") return image.startDisk({ ports, memoryMiB }, signal);
  return image.start({ trimmed, ports, units: expected.units, tell: true, memoryMiB }, signal);
}

async function bootOnce(
  machine: Machine,
  { expected, timeoutMs, signal }: VmBootRequest,
  clock: Pick<Clock, "elapsedMs">,
): Promise<VmBootReport> {
  try {
    const boot = await watchBoot(machine, expected, { timeoutMs, clock, sleep: (milliseconds) => pause(milliseconds, signal) });
    return { ...boot, acceleration: machine.acceleration, serial: linesOf(machine.serial()) };
  } finally {
    await machine.stop();
  }
}

const linesOf = (serial: string): readonly string[] => serial.split("\n").filter((line) => line.trim() !== "");

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
