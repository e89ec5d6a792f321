import { createHash } from "node:crypto";
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, type Stats } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { overlayWorkspaces } from "../../src/adapters/sandbox/overlay-workspaces.ts";
import { ownInstaller } from "../../src/adapters/debian-installer/index.ts";
import type { LockedPackage } from "../../src/core/lock/model.ts";
import type { FoundationInstaller } from "../../src/ports/foundation-installer.ts";
import type { ImageRoot } from "../../src/ports/image-root.ts";
import type { PackageSet } from "../../src/ports/package-store.ts";
import type { Sandbox } from "../../src/ports/sandbox.ts";
import { debianPackages, type Suite } from "./packages.ts";

/** 2023-11-14T22:13:20Z */
export const EPOCH_SECONDS = 1_700_000_000;

/** An open workspace with a real sandbox. */
export interface OpenImage {
  readonly root: ImageRoot;
  readonly sandbox: Sandbox;
  /** Lines of output. */
  readonly lines: string[];
  /** What has been changed, as an overlay upper directory; complete after `close`. */
  readonly upper: string;
  /** Runs a shell script inside; its output. @throws STEP_FAILED */
  sh(script: string): Promise<string>;
  add(installer: FoundationInstaller, packages: PackageSet, preseed?: string): Promise<void>;
  close(): Promise<void>;
}

/** Temporary folders of the test file that is running. */
let scratch: string | undefined;
export function scratchFolder(): string {
  scratch ??= mkdtempSync(join(tmpdir(), "bakehouse-debian-"));
  return mkdtempSync(join(scratch, "w-"));
}

/** After each test file: takes away its folders, and with them the foundations. */
export function removeScratch(): void {
  if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  scratch = undefined;
  foundations.clear();
}

/** @param lowers upper directories of images below, the lowest first */
export async function openImage(lowers: readonly string[]): Promise<OpenImage> {
  const folder = scratchFolder();
  const names = lowers.map((_, index) => `sha256:${String(index).padStart(64, "0")}` as const);
  const workspaces = overlayWorkspaces({
    diffs: "/",
    diffName: (diff) => (lowers[names.indexOf(diff)] ?? "").slice(1),
  });
  const workspace = await workspaces.open({ folder, lowers: names, runner: "bubblewrap" });
  const { signal } = new AbortController();
  const lines: string[] = [];
  const sandbox = workspace.sandbox({
    epochSeconds: EPOCH_SECONDS,
    network: "none",
    timeoutMs: 300_000,
    address: "base/step",
    signal,
    lentFolder: () => "",
    onLine: (line) => lines.push(line),
    mask: (line) => line,
  });
  const request = {
    root: workspace.root,
    sandbox,
    epochSeconds: EPOCH_SECONDS,
    signal,
    log: (line: string) => void lines.push(line),
    progress: () => undefined,
  };
  return {
    root: workspace.root,
    sandbox,
    lines,
    upper: workspace.upper,
    sh: async (script) => (await sandbox.check({ argv: ["/bin/sh", "-ec", script], captureStdout: true })).stdout ?? "",
    add: (installer, packages, preseed) => installer.add({ ...request, packages, ...(preseed === undefined ? {} : { preseed }) }),
    close: () => workspace.close(),
  };
}

export interface Foundation {
  /** A whole tree. */
  readonly folder: string;
  readonly locked: readonly LockedPackage[];
}

const foundations = new Map<string, Promise<Foundation>>();

/** A minbase of our own installer, made once a test file. Nobody may change it. */
export function foundation(suite: Suite): Promise<Foundation> {
  const known = foundations.get(suite);
  if (known !== undefined) return known;
  const made = makeFoundation(suite, ownInstaller());
  foundations.set(suite, made);
  return made;
}

export async function makeFoundation(suite: Suite, installer: FoundationInstaller): Promise<Foundation> {
  const { locked, set } = await debianPackages(suite, [], { workFolder: scratchFolder() });
  const image = await openImage([]);
  try {
    const { root, sandbox, lines } = image;
    await installer.install({
      suite,
      packages: set.files,
      root,
      sandbox,
      epochSeconds: EPOCH_SECONDS,
      signal: new AbortController().signal,
      log: (line) => void lines.push(line),
      progress: () => undefined,
    });
  } finally {
    await image.close();
  }
  return { folder: image.upper, locked };
}

export type Tree = ReadonlyMap<string, string>;

/**
 * Every entry of a tree but its top: kind, mode, owner, content (digest or target), mtime (clamped to the epoch as in a diff) and,
 * for more than one link to a file, the first path it has.
 */
export function treeOf(folder: string, options: { readonly times: boolean }): Tree {
  const tree = new Map<string, string>();
  const firstPaths = new Map<number, string>();
  const visit = (path: string): void => {
    for (const name of readdirSync(Buffer.from(folder + path, "latin1"), { encoding: "latin1" }).sort()) {
      const place = Buffer.from(`${folder}${path}/${name}`, "latin1");
      const stats = lstatSync(place);
      const content = contentOf(place, stats);
      const time = options.times && !stats.isDirectory() ? ` ${Math.min(Math.floor(stats.mtimeMs / 1000), EPOCH_SECONDS)}` : "";
      const first = firstPaths.get(stats.ino) ?? `${path}/${name}`;
      if (stats.isFile() && stats.nlink > 1) firstPaths.set(stats.ino, first);
      const linked = stats.isFile() && stats.nlink > 1 ? ` = ${first}` : "";
      tree.set(`${path}/${name}`, `${stats.mode.toString(8)} ${stats.uid}:${stats.gid} ${content}${time}${linked}`);
      if (stats.isDirectory()) visit(`${path}/${name}`);
    }
  };
  visit("");
  return tree;
}

function contentOf(place: Buffer, stats: Stats): string {
  if (stats.isFile()) return createHash("md5").update(readFileSync(place)).digest("hex");
  if (stats.isSymbolicLink()) return `→ ${readlinkSync(place, "latin1")}`;
  return stats.isDirectory() ? "" : String(stats.rdev);
}

/** Paths that are not the same in both, with what is there. */
export function differences(a: Tree, b: Tree): readonly string[] {
  return [...new Set([...a.keys(), ...b.keys()])]
    .sort()
    .filter((path) => a.get(path) !== b.get(path))
    .map((path) => `${path}: ${a.get(path) ?? "absent"} | ${b.get(path) ?? "absent"}`);
}
