import { isSha256, type Sha256 } from "../../core/digest.ts";
import type { SshConnection } from "./connection.ts";
import { MachineRefused, refusal } from "./refusal.ts";
import { MEASURE } from "./scripts.ts";

/** A machine that does not answer within this is not waited for: a fleet is looked at every few seconds. */
export const OBSERVE_MS = 5000;

/** What a machine says of itself. */
export interface Measured {
  /** ISO 8601, UTC. */
  readonly bootedAt: string;
  /** The release volume that is behind the path; undefined: none, or one that is not what arrived. */
  readonly volume: Sha256 | undefined;
  /** Why there is none. */
  readonly why?: string;
  /** Of its root, the lowest first; empty when it says nothing of them. */
  readonly diffs: readonly string[];
  /** It is let into traffic. */
  readonly admitted: boolean;
}

/**
 * @param path  of the volume; undefined when no release was ever brought there from here
 * @throws HostSilent, MachineRefused
 */
export async function measure(connection: SshConnection, root: string, path: string | undefined): Promise<Measured> {
  const ran = await connection.run(MEASURE, [root, path ?? ""], { timeoutMs: OBSERVE_MS, isLook: true });
  if (ran.code !== 0) throw refusal(ran);
  return measuredIn(ran.stdout);
}

/** @param text  as `MEASURE` writes it. @throws MachineRefused */
function measuredIn(text: string): Measured {
  const lines = text.split("\n");
  const after = (word: string): string | undefined => lines.find((line) => line.startsWith(`${word} `))?.slice(word.length + 1);
  const booted = Number(after("booted") ?? "0");
  if (!(booted > 0)) throw new MachineRefused(`its answer is not understood: ${text.slice(0, 200)}`);
  const volume = `sha256:${after("runs") ?? ""}`;
  const why = after("odd");
  return {
    bootedAt: new Date(booted * 1000).toISOString(),
    volume: isSha256(volume) ? volume : undefined,
    ...(why === undefined ? {} : { why }),
    diffs: lines.flatMap((line) => (line.startsWith("diff ") ? [line.slice(5)] : [])),
    admitted: lines.includes("serving"),
  };
}
