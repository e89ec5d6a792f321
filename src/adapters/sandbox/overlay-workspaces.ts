import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { hexOf, type DiffId, type Sha256 } from "../../core/digest.ts";
import { overlayLowers } from "../../core/layer/overlay-lowers.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import type { SandboxSettings, Workspace, WorkspaceRequest, Workspaces } from "../../ports/workspaces.ts";
import { hostImageRoot } from "../image-root/image-root.ts";
import { shellQuote, startHolder, type Holder } from "./holder.ts";
import { CGROUP_PARENT, cgroupName, removeCgroups } from "./cgroups.ts";
import { listOfProcessors, nominalMachine } from "./nominal-machine.ts";
import { overlaySandbox } from "./overlay-sandbox.ts";
import { RUNNERS, type RunnerCommand } from "./runners.ts";
import { sandboxSpec } from "./spec.ts";

export interface OverlayOptions {
  /** Folder that holds the unpacked diffs, each under its short name. */
  readonly diffs: string;
  /** Name of a diff's folder below `diffs`. */
  diffName(diff: DiffId): string;
}

/** Link in the folder to that of the diffs: short, since the kernel takes one page of mount options. */
const DIFFS_LINK = "d";

/** Workspaces by overlayfs: each diff below is a lower directory, the step's changes go to `<folder>/upper`. */
export function overlayWorkspaces(options: OverlayOptions): Workspaces {
  return { open: (request) => openWorkspace(options, request) };
}

async function openWorkspace(options: OverlayOptions, request: WorkspaceRequest): Promise<Workspace> {
  const { folder } = request;
  const upper = join(folder, "upper");
  for (const name of ["upper", "work", "merged", "memory", "bundles"]) mkdirSync(join(folder, name), { recursive: true });
  if (!request.reopen) chmodSync(upper, 0o755); // it becomes the image's `/`, whatever the umask is here
  rmSync(join(folder, "work", "work"), { recursive: true, force: true }); // a `volatile` mount refuses a used one
  if (!existsSync(join(folder, DIFFS_LINK))) symlinkSync(options.diffs, join(folder, DIFFS_LINK));
  const holder = await startHolder();
  try {
    await holder.run(`cd ${shellQuote(folder)} && mount -t tmpfs -o mode=700 tmpfs memory`);
    const mounts = new OverlayMounts(holder, options, request, upper);
    await mounts.mount(undefined);
    return assemble(holder, mounts, request, upper);
  } catch (error) {
    await holder.close();
    throw error;
  }
}

function assemble(holder: Holder, mounts: OverlayMounts, request: WorkspaceRequest, upper: string): Workspace {
  const root: ImageRoot = hostImageRoot(`/proc/${holder.pid}/root${mounts.merged}`);
  const runner = RUNNERS[request.runner];
  let bundles = 0;
  const bundle = (): string => join(request.folder, "bundles", String(bundles++));
  const cgroup = cgroupName(request.folder);
  const cgroupsPath = `/${CGROUP_PARENT}/${cgroup}`;
  const processor = ownProcessor(holder.pid);
  const nominal = (epochSeconds: number): ReturnType<typeof nominalMachine> => {
    const inside = join(request.folder, "memory", "machine");
    return nominalMachine(inside, `/proc/${holder.pid}/root${inside}`, epochSeconds);
  };
  let inputs = 0;
  const inputFile = (input: string | undefined): string => {
    if (input === undefined) return "/dev/null";
    const inside = join(request.folder, "memory", `input-${inputs++}`);
    writeFileSync(`/proc/${holder.pid}/root${inside}`, input);
    return inside;
  };
  const entered = ({ argv, input }: RunnerCommand, network: SandboxSettings["network"], terminal: boolean): readonly string[] => [
    ...["nsenter", "--target", String(holder.pid), "--mount", "--pid", "--ipc"],
    ...(network === "open" ? [] : ["--net"]),
    ...["--", "taskset", "--cpu-list", String(processor), "bash", "-c", terminal ? PREPARED : PIPED, inputFile(input), ...argv],
  ];
  return {
    root,
    upper,
    holderPid: holder.pid,
    sandbox: (settings) =>
      overlaySandbox({
        settings,
        holder,
        memoryFolder: join(request.folder, "memory"),
        withLent: (lent, work) => mounts.withLent(lent === undefined ? undefined : settings.lentFolder(lent), work),
        command: (parts) =>
          entered(
            runner.command(
              sandboxSpec({
                ...parts,
                binds: [...nominal(parts.epochSeconds), ...parts.binds],
                rootPath: mounts.merged,
                terminal: false,
                cgroupsPath,
              }),
              bundle(),
            ),
            parts.network,
            false,
          ),
      }),
    shellArgv: (argv, { epochSeconds, network }) =>
      entered(
        runner.command(
          sandboxSpec({
            rootPath: mounts.merged,
            argv,
            environment: { TERM: process.env["TERM"] ?? "dumb", PS1: "bakehouse:\\w# " },
            epochSeconds,
            workingDirectory: "/",
            binds: nominal(epochSeconds),
            terminal: true,
            cgroupsPath,
          }),
          bundle(),
        ),
        network,
        true,
      ),
    close: async () => {
      await holder.close();
      mounts.tidy();
      removeCgroups(cgroup);
    },
  };
}

/** One processor for each workspace, so that `nproc` says 1 everywhere; those of several workspaces are spread. */
function ownProcessor(holderPid: number): number {
  const allowed = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const processors = listOfProcessors(allowed);
  return processors[holderPid % processors.length] ?? 0;
}

/**
 * What a command's process is before it is the runner: umask and limits of its own (the host's would show inside; a small
 * descriptor limit also spares programs that close all of them), and no descriptor that this process got from its parent.
 */
const PREPARED = `exec 3<"$0"; umask 022; ulimit -c 0; ulimit -n 1024
for fd in /proc/self/fd/*; do fd=\${fd##*/}; if ((fd > 3)); then exec {fd}>&-; fi; done; exec "$@"`;

/** Node gives a child sockets, which nothing can open as /dev/stdout: what it prints goes through real pipes. */
const PIPED = `exec > >(exec cat) 2> >(exec cat >&2); ${PREPARED}`;

/** Directories that the sandbox mounts something on. They stay in the diff only if the step itself made them. */
const MOUNT_POINTS = [
  ["proc", 0o755],
  ["dev", 0o755],
  ["tmp", 0o1777], // runc gives a tmpfs the mode of the directory below it
  ["run", 0o755],
] as const;

class OverlayMounts {
  readonly merged: string;
  private readonly holder: Holder;
  private readonly options: OverlayOptions;
  private readonly request: WorkspaceRequest;
  private readonly upper: string;
  private readonly made: { readonly name: string; readonly mtimeMs: number }[] = [];
  private queue: Promise<unknown> = Promise.resolve();

  constructor(holder: Holder, options: OverlayOptions, request: WorkspaceRequest, upper: string) {
    this.holder = holder;
    this.options = options;
    this.request = request;
    this.upper = upper;
    this.merged = join(request.folder, "merged");
  }

  /**
   * A foundation has nothing below: its upper directory is the image itself, which spares the overlay. All paths are
   * relative to the folder, since /proc/mounts shows them inside. Device nodes can be made and kept, but not opened.
   */
  async mount(lent: string | undefined): Promise<void> {
    const lowers = overlayLowers(this.request.lowers).map((diff) => this.options.diffName(diff));
    if (lent !== undefined) lowers.push(relative(this.options.diffs, lent));
    if (lowers.length === 0) await this.holder.run("mount --bind upper merged && mount -o remount,bind,nodev,nosuid merged");
    else {
      // redirect_dir, metacopy and index leave marks that no tar can carry; volatile spares syncs, a crash discards the upper anyway
      const flags = `nodev,nosuid,lowerdir=${lowers.map((lower) => `${DIFFS_LINK}/${lower}`).join(":")},upperdir=upper,workdir=work,redirect_dir=off,metacopy=off,index=off,xino=off,volatile`;
      await this.holder.run(`rm -rf work/work && mount -t overlay -o ${shellQuote(flags)} overlay merged`);
    }
    this.makeMountPoints();
  }

  /** Runs work with lent tools beneath the image. Commands of one workspace with other lent trees wait for each other. */
  withLent<T>(lent: string | undefined, work: () => Promise<T>): Promise<T> {
    if (lent === undefined) return this.queue.then(work);
    const run = this.queue.then(async () => {
      await this.remount(lent);
      let result: T;
      try {
        result = await work();
      } catch (cause) {
        // a step that was stopped or took too long has ended the holder and all its mounts: its own error is the one that counts
        await this.remount(undefined).catch(() => undefined);
        throw cause;
      }
      await this.remount(undefined);
      return result;
    });
    this.queue = run.catch(() => undefined);
    return run;
  }

  private async remount(lent: string | undefined): Promise<void> {
    await this.holder.run("umount merged");
    await this.mount(lent);
  }

  private makeMountPoints(): void {
    const merged = `/proc/${this.holder.pid}/root${this.merged}`;
    for (const [name, mode] of MOUNT_POINTS) {
      if (lstatSync(join(merged, name), { throwIfNoEntry: false }) !== undefined) continue;
      mkdirSync(join(merged, name));
      chmodSync(join(merged, name), mode);
      this.made.push({ name, mtimeMs: lstatSync(join(merged, name)).mtimeMs });
    }
  }

  /** After close: takes away the mount points that were made here, unless the step made them its own (base-files does). */
  tidy(): void {
    for (const { name, mtimeMs } of this.made) {
      const path = join(this.upper, name);
      if (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs === mtimeMs) removeEmptyDirectory(path);
    }
  }
}

function removeEmptyDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
  }
}

/** A diff's folder name: 16 hex digits keep the mount options short, since the kernel takes one page of them. */
export const diffFolderName = (diff: DiffId | Sha256): string => hexOf(diff).slice(0, 16);
