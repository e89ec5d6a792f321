import { createReadStream } from "node:fs";
import { hexOf, type Sha256 } from "../../core/digest.ts";
import { HostSilent, type SshConnection } from "./connection.ts";
import { MachineRefused, refusal } from "./refusal.ts";
import { emptyErofs, type Payload } from "./payload.ts";
import { ACCEPT, DISCARD, EXAMINE, RECEIVE } from "./scripts.ts";

/** What was sent to a machine in one go. */
export interface Sent {
  readonly instance: string;
  /** How much was there before. */
  readonly fromBytes: number;
  readonly sizeBytes: number;
}

export interface DeliveryRequest {
  readonly instance: string;
  readonly connection: SshConnection;
  readonly root: string;
  readonly volume: { readonly blob: Sha256; readonly path: string };
  readonly signal: AbortSignal;
  payload(kind: Payload["kind"]): Promise<Payload>;
  onSend(sent: Sent): void;
}

/** A question to a machine that does not answer within this is taken as none; hashing 1 GB takes seconds. */
export const ASK_MS = 120_000;
/** A guess: at 1 MB/s this is 14 GB. A connection over which nothing comes ends far earlier. */
const SEND_MS = 4 * 3_600_000;
/** Left free on a machine, for what else it writes. */
const SPARE_BYTES = 1_000_000;
/** How often somebody else may be found sending the same. */
const TRIES = 5;

export interface Examined {
  /** Of its root, the lowest first; empty when it says nothing of them. */
  readonly diffs: readonly string[];
  readonly isWhole: boolean;
  readonly kind: Payload["kind"];
  readonly partBytes: Readonly<Record<Payload["kind"], number>>;
  readonly freeBytes: number;
  readonly refuses?: string;
}

/** What a machine has of a release. @throws MachineRefused, HostSilent */
export async function examine({ connection, root, volume, signal }: DeliveryRequest): Promise<Examined> {
  const parameters = [root, hexOf(volume.blob), volume.path];
  const ran = await connection.run(EXAMINE, parameters, { timeoutMs: ASK_MS, signal, input: await emptyErofs() });
  if (ran.code !== 0) throw refusal(ran);
  const values = (word: string): readonly string[] =>
    ran.stdout.split("\n").flatMap((line) => (line.startsWith(`${word} `) ? [line.slice(word.length + 1)] : []));
  const [refuses] = values("refuse");
  const partBytes = Object.fromEntries(values("part").map((part) => part.split(" "))) as Record<string, string>;
  return {
    diffs: values("diff"),
    isWhole: /^whole$/m.test(ran.stdout),
    kind: values("form")[0] === "folder" ? "tar" : "erofs",
    partBytes: { erofs: Number(partBytes["erofs"]), tar: Number(partBytes["tar"]) },
    freeBytes: Number(values("free")[0]),
    ...(refuses === undefined ? {} : { refuses }),
  };
}

/**
 * Brings a release to a machine, where it is not whole already: from where an earlier try was cut off.
 *
 * @throws MachineRefused, such as a full disk: then nothing of it is left there; HostSilent: what has arrived stays
 */
export async function deliver(request: DeliveryRequest, examined: Examined): Promise<void> {
  if (examined.isWhole) return;
  const payload = await request.payload(examined.kind);
  let at = examined.partBytes[payload.kind];
  try {
    requireSpace(payload, at, examined.freeBytes);
  } catch (error) {
    if (at > 0) await discard(request, payload);
    throw error;
  }
  for (let tries = 0; tries < TRIES; tries++) {
    if (at < payload.sizeBytes) {
      at = await send(request, payload, at);
      if (at < payload.sizeBytes) continue;
    }
    if (await accept(request, payload)) return;
    at = 0; // it was not what we have: from the beginning
  }
  throw new MachineRefused(`${payload.kind} of ${payload.sizeBytes} bytes did not arrive whole in ${TRIES} tries`);
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Nothing of what was sent is left there. */
class DiskFull extends MachineRefused {}

function requireSpace(payload: Payload, partBytes: number, freeBytes: number): void {
  const needed = payload.sizeBytes - partBytes + payload.unpackedBytes + SPARE_BYTES;
  if (needed <= freeBytes) return;
  throw new DiskFull(
    `its disk is full: ${megabytes(needed - freeBytes)} are missing (${megabytes(needed)} are needed, ${megabytes(freeBytes)} free)`,
  );
}

/** The disk was filled by somebody else meanwhile. */
async function filledUp(request: DeliveryRequest, payload: Payload): Promise<DiskFull> {
  const { freeBytes } = await examine(request);
  try {
    requireSpace(payload, 0, freeBytes);
  } catch (error) {
    if (error instanceof DiskFull) return error;
    throw error;
  }
  return new DiskFull("its disk was full for a moment");
}

const nameOf = ({ volume }: DeliveryRequest, { kind }: Payload): string => `${hexOf(volume.blob)}.${kind}`;

async function discard(request: DeliveryRequest, payload: Payload): Promise<void> {
  const { connection, root, signal } = request;
  await connection.run(DISCARD, [root, nameOf(request, payload)], { timeoutMs: ASK_MS, signal });
}

/** @returns how much is there afterwards */
async function send(request: DeliveryRequest, payload: Payload, from: number): Promise<number> {
  const { connection, instance, root, signal, onSend } = request;
  const input = createReadStream(payload.file, { start: Math.min(from, payload.sizeBytes) });
  onSend({ instance, fromBytes: from, sizeBytes: payload.sizeBytes });
  const ran = await connection
    .run(RECEIVE, [root, nameOf(request, payload), String(from)], { timeoutMs: SEND_MS, signal, input })
    .catch((error: unknown) => {
      if (!(error instanceof HostSilent)) throw error;
      const went = `after ${megabytes(input.bytesRead)} more of ${megabytes(payload.sizeBytes)} were handed to it`;
      throw new HostSilent(`${error.message}, ${went}; asked again, it goes on from what has arrived`, { cause: error });
    });
  if (ran.code === 5) throw await filledUp(request, payload);
  if (ran.code !== 0 && ran.code !== 4) throw refusal(ran);
  return Number(/^part (\d+)$/m.exec(ran.stdout)?.[1] ?? 0);
}

/** @returns whether it is what was to be sent; else nothing of it is left there */
async function accept(request: DeliveryRequest, payload: Payload): Promise<boolean> {
  const { connection, root, volume, signal } = request;
  const parameters = [root, hexOf(volume.blob), payload.kind, payload.sha256];
  const ran = await connection.run(ACCEPT, parameters, { timeoutMs: ASK_MS, signal });
  if (ran.code === 5) throw await filledUp(request, payload);
  if (ran.code !== 0 && ran.code !== 6) throw refusal(ran);
  return ran.code === 0;
}
