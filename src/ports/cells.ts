import type { ImageDigest } from "../core/digest.ts";
import type { TreeSource } from "./image-trees.ts";

/** What a cell is started with. */
export interface CellRequest {
  readonly image: { readonly digest: ImageDigest; readonly name: string };
  /** Diffs and volume of the image, as the store has them. */
  readonly source: TreeSource;
  /** Unique among running cells; made up when absent. */
  readonly name?: string;
  /** `run`: lives until it is stopped. `check`: ends with the process that started it. */
  readonly purpose: "run" | "check";
  /** Ports that the host's loopback hands on: 127.0.0.1:hostPort → the cell's cellPort. Only for `run`. */
  readonly publish: readonly { readonly hostPort: number; readonly cellPort: number }[];
  /** Files that the machine is given beside the image: path → content. The only place where environments differ. */
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** systemd credentials by name (systemd.exec(5)), for images that take their settings so. */
  readonly credentials?: Readonly<Record<string, string>>;
  /** What this process answers in the fabric, for as long as it lives: at `http://10.77.0.1:<port>` from inside, no egress. */
  readonly serve?: readonly Serve[];
}

export interface Serve {
  readonly port: number;
  /** With a socket of `node:net`; for HTTP: `(socket) => server.emit("connection", socket)`. Public types need no @types/node. */
  onConnection(socket: object): void;
}

export interface CellState {
  readonly id: string;
  readonly name: string;
  readonly image: { readonly digest: ImageDigest; readonly name: string };
  readonly purpose: CellRequest["purpose"];
  readonly startedAt: string;
  /** In the fabric's own network; nothing of the host's is joined to it. */
  readonly address: string;
  readonly publish: CellRequest["publish"];
  /** What it is made of: `gc` keeps that while it runs. */
  readonly source: TreeSource;
  /**
   * As far as it can be told without asking the machine: `running` once systemd had started everything. `stopped`: somebody asked
   * it to. `died`: it ended by itself, or was killed.
   */
  readonly status: "starting" | "running" | "stopped" | "died";
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** It was ended because it took longer than `timeoutMs`. */
  readonly timedOut: boolean;
}

/** What a running machine has, by the names of folders and files below it. */
export interface MountedSource {
  /** Names of the overlay's lower folders, the newest first, with `:` between. */
  readonly lowers: string;
  /** Host path of the file that is mounted at the volume's place. */
  readonly volumeFile?: string;
}

/** One try to reach something outside, which the trap swallowed. */
export interface EgressAttempt {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly protocol: "tcp" | "udp" | "dns" | "icmp" | "other";
  /** The name that was asked for (`dns`), or that had been asked for before with this address as the answer; else an address. */
  readonly target: string;
  readonly port?: number;
  /** systemd unit that the process belongs to, where it could be told. */
  readonly unit?: string;
  readonly count: number;
}

/** A local instance: an image booted with systemd as PID 1, in namespaces and a cgroup of its own, whose only route leads into a trap. */
export interface Cell {
  readonly state: CellState;
  /** Runs a program inside. */
  exec(
    argv: readonly string[],
    options: { readonly timeoutMs: number; readonly stdin?: string; readonly signal?: AbortSignal },
  ): Promise<ExecResult>;
  /** Command line of the host that runs a program inside with whatever terminal it is started with. */
  commandLine(argv: readonly string[], environment?: Readonly<Record<string, string>>): Promise<readonly string[]>;
  /** One HTTP request from beside the cell (the fabric), redirects not followed. @throws Error when nothing answers */
  http(request: {
    readonly url: string;
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly timeoutMs: number;
  }): Promise<{
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    readonly durationMs: number;
  }>;
  /** Whether a TCP port of the cell accepts a connection. */
  connect(port: number, timeoutMs: number): Promise<"open" | "refused" | "timeout">;
  /** What systemd says of the start: waits until it has started everything, or until the timeout. */
  booted(timeoutMs: number): Promise<"running" | "degraded" | "starting" | "dead">;
  /** Milliseconds from start until systemd had started everything; undefined while it has not. */
  readonly bootMs: number | undefined;
  /** Lines of the journal, the newest last. */
  journal(options: { readonly unit?: string; readonly lines: number }): Promise<readonly string[]>;
  /** What the console has shown. */
  console(): string;
  /** What it tried to reach. */
  egress(): Promise<readonly EgressAttempt[]>;
  isAlive(): boolean;
  /**
   * Puts another release volume in the place of the one that it was started with, while it runs. Programs that have files of the
   * one before open keep those. Measured: 15 ms.
   *
   * @param image  what it is from then on
   * @throws CELL_FAILED; it has what it had before then
   */
  exchangeVolume(image: CellState["image"], volume: NonNullable<TreeSource["volume"]>): Promise<void>;
  /** The root's diffs and the volume that are mounted in it at this moment, as the kernel says; undefined: it has ended. */
  mounted(): MountedSource | undefined;
  /**
   * Ends it and removes what is left of it. A cell of `run` is asked to power off first, for at most 20 s.
   *
   * @param options.now  at once; default for the purpose `check`
   */
  stop(options?: { readonly now?: boolean }): Promise<void>;
}

export interface Cells {
  start(request: CellRequest, signal: AbortSignal): Promise<Cell>;
  /** All that are not tidied away, the oldest first. */
  list(): readonly CellState[];
  /** The same, with what can be asked of each. */
  all(): readonly Cell[];
  /** By name or id, or the beginning of one that no other cell shares. @throws CELL_NOT_FOUND */
  find(reference: string): Cell;
  /** Removes what dead owners left: processes, namespaces, cgroups, folders. */
  tidy(): Promise<readonly { readonly kind: string; readonly id: string }[]>;
}
