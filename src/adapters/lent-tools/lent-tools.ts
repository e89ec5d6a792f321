import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Sha256 } from "../../core/digest.ts";
import type { PackageFile } from "../../ports/package-store.ts";
import type { LentTools } from "../../ports/step-services.ts";
import { compileModules } from "./compile-modules.ts";

/** Raise it when the same packages start giving another tree. */
const TREE_VERSION = 1;

export const NO_LENT_TOOLS: LentTools = { digest: undefined, hostPath: undefined };

/** Names the tree that a set of packages gives, whatever their order. */
export function lentDigest(packages: readonly Pick<PackageFile, "sha256">[]): Sha256 {
  const lines = packages.map((file) => file.sha256).sort();
  return `sha256:${createHash("sha256")
    .update([`lent-tools ${TREE_VERSION}`, ...lines].join("\n"))
    .digest("hex")}`;
}

/** Host folder of a tree below the store's `lent/`; short, since it becomes part of the mount options. */
export const lentFolder = (folder: string, digest: Sha256): string => join(folder, digest.slice("sha256:".length, "sha256:".length + 16));

/**
 * Extracts verified packages to a tree that can lie beneath an image, once per set: whoever comes second finds it, and two
 * that come at once make it beside its place and the later one drops its own. No maintainer script runs; the tree is laid
 * out for merged /usr (the image's links /bin, /lib … would hide folders of these names).
 *
 * It also holds `/usr/sbin/policy-rc.d`, which keeps packages that a playbook installs from starting services, unless the
 * image has one.
 */
export async function extractLentTools(options: {
  readonly folder: string;
  readonly packages: readonly PackageFile[];
  readonly signal: AbortSignal;
}): Promise<LentTools> {
  const digest = lentDigest(options.packages);
  const hostPath = lentFolder(options.folder, digest);
  if (existsSync(hostPath)) return { digest, hostPath };
  mkdirSync(options.folder, { recursive: true });
  const beside = mkdtempSync(`${hostPath}.new-`);
  try {
    const tree = join(beside, "tree");
    makeSkeleton(tree);
    for (const file of options.packages) await extract(file.hostPath, tree, options.signal);
    await compileModules(tree, options.signal);
    writeFileSync(join(tree, "usr/sbin/policy-rc.d"), POLICY);
    chmodSync(join(tree, "usr/sbin/policy-rc.d"), 0o755);
    adopt(tree, hostPath);
  } finally {
    rmSync(beside, { recursive: true, force: true });
  }
  return { digest, hostPath };
}

/** 101: "action not allowed", for invoke-rc.d and deb-systemd-invoke. */
const POLICY = "#!/bin/sh\nexit 101\n";

const MERGED = ["bin", "sbin", "lib", "lib64"] as const;

function makeSkeleton(tree: string): void {
  mkdirSync(tree);
  chmodSync(tree, 0o755);
  for (const name of ["usr", ...MERGED.map((folder) => `usr/${folder}`)]) {
    mkdirSync(join(tree, name));
    chmodSync(join(tree, name), 0o755);
  }
  for (const name of MERGED) symlinkSync(`usr/${name}`, join(tree, name));
}

/** Nobody reads them during a step. */
const LEFT_OUT = [
  "./usr/share/doc",
  "./usr/share/man",
  "./usr/share/locale",
  "./usr/share/lintian",
  "./usr/share/doc-base",
  "./usr/share/bug",
];

/** tar refuses an archive that breaks off, so dpkg-deb's own exit code (lost in the pipe) is not needed. */
const EXTRACT =
  'deb=$1 tree=$2; shift 2; dpkg-deb --fsys-tarfile "$deb" | tar --extract --file=- --directory="$tree" --keep-directory-symlink --numeric-owner --same-permissions "$@"';

function extract(deb: string, tree: string, signal: AbortSignal): Promise<void> {
  const excludes = LEFT_OUT.map((path) => `--exclude=${path}`);
  const child = spawn("sh", ["-c", EXTRACT, "sh", deb, tree, ...excludes], {
    stdio: ["ignore", "ignore", "pipe"],
    signal,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
  });
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve() : reject(new Error(`Cannot unpack ${deb}: ${complaints.trim()}`))));
  });
}

function adopt(tree: string, hostPath: string): void {
  try {
    renameSync(tree, hostPath);
  } catch (error) {
    const taken = existsSync(hostPath) && readdirSync(hostPath).length > 0;
    if (!taken) throw error; // else somebody made the same tree meanwhile
  }
}
