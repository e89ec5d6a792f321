import type { Sha256 } from "../core/digest.ts";
import type { FileRequest } from "../core/step.ts";
import type { Inputs } from "./step-services.ts";

export interface Clock {
  /** Wall time, for people and records; never part of an image. */
  now(): Date;
  /** Milliseconds that only grow, for durations. */
  elapsedMs(): number;
}

/** Hashes what lies in a recipe's folder. */
export interface InputHasher {
  /** @throws INPUT_INVALID with every problem of every request */
  hash(
    folder: string,
    requests: readonly FileRequest[],
  ): {
    readonly digest: Sha256;
    readonly entries: readonly ({ readonly path: string; readonly kind: "file" | "directory" | "symlink" } & {
      readonly sha256?: Sha256;
      readonly target?: string;
      readonly executable?: boolean;
    })[];
  };
  inputs(folder: string, requests: readonly FileRequest[]): Inputs;
  /** Version of a program of the host that a step's result depends on; undefined when it is not there. */
  toolVersion(name: "ansible"): string | undefined;
  /** SHA-256 of a text, for keys. */
  digestOf(text: string): Sha256;
  /** Keeps what was learned for the next run. */
  save(): void;
}

/** Who bakes: `user@host`, for lineage; never part of an image. */
export type Baker = string;

/** The log of one bake. */
export interface BakeLog {
  write(step: string, line: string): void;
  event(event: unknown): void;
  close(): void;
}

/** Values of secrets by name. */
export interface SecretSource {
  /** @throws SECRET_MISSING, all at once */
  resolve(names: readonly string[]): ReadonlyMap<string, string>;
}
