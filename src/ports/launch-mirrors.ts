import type { MirrorState } from "../core/cakes/comparison.ts";

/** Answers what machines fetch at launch, in the network of one cell. */
export interface LaunchMirror {
  onConnection(socket: object): void;
  /** Of bodies, by now. */
  sentBytes(): number;
  close(): void;
}

export interface LaunchMirrors {
  /** @param payloads  by the name that they are asked for at `/<name>`; mirrors are at `/mirror/<name>/` */
  open(options: {
    readonly state: MirrorState;
    readonly payloads: ReadonlyMap<string, Buffer>;
    readonly signal: AbortSignal;
  }): LaunchMirror;
}
