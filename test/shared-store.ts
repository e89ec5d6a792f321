import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { inject } from "vitest";
import { createBakehouse } from "../src/presets/create-bakehouse.ts";

/**
 * What costs seconds to make and is the same for every test, made once per run by whichever test process comes first:
 *
 *     cli/dist/cli.js     the CLI, built from the sources as they are now
 *     root.tar            a system of a shell and a few programs, for recipes that need no Debian and no lock
 *     tiny/               a store that holds the foundation baked from it
 *     debian/             a recipe of a minbase foundation and one package, its lock, and a store with all packages
 *     debian-baked/       that store with the foundation baked
 */
const root = dirname(import.meta.dirname);

/** Makes something below the run's folder once, whatever number of processes ask for it. */
export function once(name: string, make: (path: string) => void | Promise<void>): Promise<string> {
  const path = join(inject("runFolder"), name);
  return withFolderLock(`${path}.lock`, async () => {
    if (existsSync(path)) return path;
    const fresh = `${path}.fresh`;
    rmSync(fresh, { recursive: true, force: true });
    await make(fresh);
    renameSync(fresh, path);
    return path;
  });
}

/** How long a process of the same run may hold a lock before it is taken to be dead. A cold Debian foundation takes 30 s on a busy machine. */
const STALE_MS = 280_000;

async function withFolderLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(lock), { recursive: true });
  while (!taken(lock)) {
    if ((statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) < Date.now() - STALE_MS)
      rmSync(lock, { recursive: true, force: true });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    return await work();
  } finally {
    rmdirSync(lock);
  }
}

function taken(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    return false;
  }
}

/** The CLI as one file of JavaScript, built from the sources of this moment. */
export const builtCli = async (): Promise<string> =>
  join(
    await once(
      "cli",
      (path) =>
        void execFileSync(process.execPath, [join(root, "tools/build.mjs"), "--out", path], { stdio: ["ignore", "ignore", "inherit"] }),
    ),
    "cli.js",
  );

/** Programs of the tiny system; each is the host's own, with the libraries that it loads. */
const PROGRAMS = [
  ..."sh bash cat chgrp chmod chown chroot cp cut date dd df echo env expr false find grep head hostname id ln ls mkdir mkfifo mknod mktemp mount".split(
    " ",
  ),
  ..."mv nproc od perl printenv printf ps pwd readlink rm rmdir sed seq setpriv setsid sha256sum sleep sort stat tail tar tee test touch tr true umount uname unshare wc yes".split(
    " ",
  ),
];

const PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP = "root:x:0:\nnogroup:x:65534:\n";

/** A tarball of a root file system of about 10 MB, for the `rootfs` step. */
export const tinyRoot = (): Promise<string> => once("root.tar", (target) => buildRoot(target));

function buildRoot(target: string): void {
  const tree = `${target}.tree`;
  rmSync(tree, { recursive: true, force: true });
  const script = `umask 022; mkdir -p "$1"; cd "$1"; mkdir -p usr/bin usr/sbin usr/lib usr/lib64 etc root var/lib proc sys dev run tmp srv
cp -a --parents /usr/lib/locale/C.utf8 .; chmod 1777 tmp; chmod 700 root; for name in bin sbin lib lib64; do ln -s usr/$name $name; done; shift
for program; do for folder in /usr/bin /usr/sbin /bin /sbin; do file=$folder/$program; [ -x "$file" ] || continue
  file=$(readlink -f "$file"); cp "$file" "usr/bin/$program"
  for library in $(ldd "$file" | grep -o '/[^ ]*'); do mkdir -p ".$(dirname "$library")"; [ -e ".$library" ] || cp -L "$library" ".$library"; done
  break; done
done`;
  execFileSync("sh", ["-euc", script, "sh", tree, ...PROGRAMS], { env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } });
  for (const [path, text] of [
    ["etc/passwd", PASSWD],
    ["etc/group", GROUP],
    ["etc/os-release", "ID=tiny\nVERSION_ID=1\n"],
    ["etc/hostname", "tiny\n"],
  ] as const)
    writeFileSync(join(tree, path), text);
  execFileSync("tar", ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@1700000000", "-cf", target, "-C", tree, "."]);
  rmSync(tree, { recursive: true, force: true });
}

/** The layer that every tiny recipe starts from. */
export const TINY_LAYER = "os:\n    steps:\n      - rootfs: { source: root.tar }";

/** A store that holds the foundation of `TINY_LAYER`; copy it, do not bake in it. */
export const tinyStore = (): Promise<string> =>
  once("tiny", async (store) => {
    const folder = `${store}.recipe`;
    mkdirSync(folder, { recursive: true });
    copyTree(await tinyRoot(), join(folder, "root.tar"));
    writeFileSync(join(folder, "bakehouse.yaml"), `name: tiny\nlayers:\n  ${TINY_LAYER}\n`);
    await bakeAll(store, folder);
    rmSync(folder, { recursive: true, force: true });
  });

export interface DebianStore {
  readonly store: string;
  /** Folder with bakehouse.yaml (layer `foundation`) and its lock. */
  readonly recipe: string;
}

/** A store that holds every package of the recipe, and nothing baked. */
export async function debianPackages(): Promise<DebianStore> {
  const made = await once("debian", async (path) => {
    const recipe = join(path, "recipe");
    mkdirSync(recipe, { recursive: true });
    writeFileSync(join(recipe, "bakehouse.yaml"), DEBIAN_RECIPE);
    const bakehouse = createBakehouse({ store: join(path, "store") });
    await bakehouse.lock(bakehouse.load(recipe));
    await bakehouse.close();
  });
  return { store: join(made, "store"), recipe: join(made, "recipe") };
}

/** The same with the minbase foundation baked. */
export async function debianStore(): Promise<DebianStore> {
  const { store, recipe } = await debianPackages();
  const made = await once("debian-baked", async (path) => {
    copyTree(store, path);
    const bakehouse = createBakehouse({ store: path });
    await bakehouse.bake(bakehouse.load(recipe), { layers: ["foundation"] });
    await bakehouse.close();
  });
  return { store: made, recipe };
}

/** The step of layer `base` is locked and fetched, but not baked. */
const DEBIAN_RECIPE = `name: real
layers:
  foundation:
    steps:
      - debian: { suite: bookworm }
  base:
    from: foundation
    steps:
      - apt: [jq]
`;

async function bakeAll(store: string, recipe: string): Promise<void> {
  const bakehouse = createBakehouse({ store });
  await bakehouse.bake(bakehouse.load(recipe));
  await bakehouse.close();
}

/** Copies as `cp -a` does, sharing blocks where the file system can. */
export function copyTree(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  execFileSync("cp", ["-a", "--reflink=auto", "-T", from, to]);
}

/** The text of `/proc/self/mountinfo`. */
export const mountTable = (): string => readFileSync("/proc/self/mountinfo", "utf8");
