import type { DiffId, Sha256 } from "../core/digest.ts";
import type { NetworkPolicy } from "../core/recipe/model.ts";
import type { ImageRoot } from "./image-root.ts";
import type { Sandbox } from "./sandbox.ts";

export type RunnerName = "bubblewrap" | "runc";

export interface WorkspaceRequest {
  /** Made before; holds `upper`, `work` and mount points; on the store's file system. */
  readonly folder: string;
  /** Diffs below, the lowest first; empty for a foundation. */
  readonly lowers: readonly DiffId[];
  readonly runner: RunnerName;
  /** Another use of a folder whose state was kept: nothing in `upper` is touched. */
  readonly reopen?: boolean;
}

export interface SandboxSettings {
  readonly epochSeconds: number;
  readonly network: NetworkPolicy;
  /** Milliseconds for everything that runs in this sandbox. */
  readonly timeoutMs: number;
  readonly address: string;
  readonly signal: AbortSignal;
  /** Host folder of a tree of lent tools by digest. */
  lentFolder(digest: Sha256): string;
  /** Lines of output that no command takes by itself; already made harmless. */
  onLine(line: string): void;
  /** Hides secrets in a line. */
  mask(line: string): string;
}

/**
 * A place where one step happens: the image as one merged tree in a mount, process and network namespace of its own.
 * All of it is gone when this process dies, however it dies; only `folder` stays, for the next run to tidy.
 */
export interface Workspace {
  readonly root: ImageRoot;
  /** What the step changed, after close, as an overlay upper directory. */
  readonly upper: string;
  /** Process id, on the host, of the init of the workspace's namespaces. */
  readonly holderPid: number;
  sandbox(settings: SandboxSettings): Sandbox;
  /** Host argv that runs a command inside, for an interactive shell; stdio is inherited. */
  shellArgv(argv: readonly string[], settings: Pick<SandboxSettings, "epochSeconds" | "network">): readonly string[];
  /** Ends every process in it and unmounts. The image root must not be used after. */
  close(): Promise<void>;
}

export interface Workspaces {
  open(request: WorkspaceRequest): Promise<Workspace>;
}
