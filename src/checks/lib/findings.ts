import { compileGlobs } from "../../core/glob.ts";
import type { CheckTree, TreeEntry } from "../../ports/check-services.ts";
import { accountsOf, groupsOf, passwordsOf } from "./accounts.ts";

/** What hygiene looks for, each with what to do about it. */
export const FINDINGS = {
  "private-key": "remove it from the image: give it to the machine at launch, or make it at the first start",
  "authorized-keys": "remove the file: whoever may log in is given at launch",
  "host-key": "remove it: every machine makes its own at its first start",
  "machine-id": "leave /etc/machine-id empty: every machine gets its own at its first start",
  "random-seed": "remove it: machines with one seed draw the same numbers",
  "shell-history": "remove the file",
  "cloud-init-state": "run `cloud-init clean` as the last step: with this state cloud-init thinks it has run already",
  "package-cache": "remove it with a `remove` step",
  "left-behind": "remove it: it belongs to the bake, not to the image",
  secret: "remove it, and give the machine the secret at launch",
  "world-writable": "chmod o-w, or chmod +t for a directory that everybody writes to",
  unowned: "chown it to an account that the image has",
  setuid: "chmod u-s,g-s, or name the path in `setuid:` when it is meant",
  password: "lock the account with `passwd -l`, or give the password at launch: this one is the same on every machine",
} as const;

export type FindingKind = keyof typeof FINDINGS;

export interface Finding {
  readonly kind: FindingKind;
  readonly path: string;
  readonly detail: string;
}

/** What comes with Debian 12 and 13 and needs its bit (dpkg-statoverride and the packages' own lists): passwords, mounting, PAM, utmp. */
export const SETUID_OF_DEBIAN: readonly string[] = [
  ..."chage chfn chsh expiry gpasswd mount newgrp ntfs-3g passwd su sudo sudoedit umount wall write write.ul bsd-write"
    .split(" ")
    .map((name) => `/usr/bin/${name}`),
  ..."crontab dotlockfile fusermount fusermount3 mlocate plocate pkexec ssh-agent newuidmap newgidmap at"
    .split(" ")
    .map((name) => `/usr/bin/${name}`),
  "/usr/sbin/unix_chkpwd",
  "/usr/sbin/pam_extrausers_chkpwd",
  "/usr/sbin/postdrop",
  "/usr/sbin/postqueue",
  "/usr/sbin/exim4",
  "/usr/lib/dbus-1.0/dbus-daemon-launch-helper",
  "/usr/lib/openssh/ssh-keysign",
  "/usr/lib/polkit-1/polkit-agent-helper-1",
  "/usr/lib/x86_64-linux-gnu/utempter/utempter",
];

/** A key that somebody hides is not looked for here; files that hold one by mistake are small. */
const MOST_KEY_BYTES = 256 * 1024;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s*\n(?:[A-Za-z-]+: .*\n|\s*\n)*[A-Za-z0-9+/=]{16}/;
/** Keys in binary form are only told by their names. */
const KEY_STORE = /\.(?:p12|pfx|jks|keystore|ppk)$/i;
const HISTORY = /^\.(?:bash|zsh|sh|ash|python|mysql|psql|sqlite|rediscli|node_repl|irb)_history$|^\.(?:lesshst|viminfo|histfile)$/;
const CACHE =
  /^\/var\/cache\/apt\/(?:archives\/.*\.deb|(?:src)?pkgcache\.bin)$|^\/var\/lib\/apt\/lists\/[^/]+$|^\/root\/\.cache\/.|^\/home\/[^/]+\/\.cache\/./;
const NOT_A_CACHE = /\/(?:lock|auxfiles|partial)$/;
const CLOUD_STATE = /^\/var\/lib\/cloud\/(?:instance$|instances\/.|data\/.|sem\/.)/;
const HOST_KEY = /^\/etc\/ssh\/ssh_host_[a-z0-9]+_key$/;
const LEFT_BEHIND: readonly string[] = ["/usr/sbin/policy-rc.d", "/etc/apt/apt.conf.d/00bakehouse"];

/** Everything that should not be in an image, sorted by path. */
export function findingsIn(tree: CheckTree, setuid: readonly string[]): readonly Finding[] {
  const packaged = packagedFiles(tree);
  const owners = new Set(accountsOf(tree).map(({ uid }) => uid));
  const groups = new Set(groupsOf(tree).map(({ gid }) => gid));
  const isAllowed = pathMatcher(setuid);
  const found = tree
    .entries()
    .flatMap((entry) => [
      ...byPath(tree, entry),
      ...byMode(entry, isAllowed),
      ...(owners.has(entry.uid) && groups.has(entry.gid) ? [] : [finding("unowned", entry, ownerOf(entry, owners))]),
      ...(holdsPrivateKey(tree, entry, packaged) ? [finding("private-key", entry, "holds a private key")] : []),
    ]);
  return [...found, ...resolver(tree), ...passwords(tree)].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** Globs with absolute paths. */
export function pathMatcher(patterns: readonly string[]): (path: string) => boolean {
  const globs = compileGlobs(patterns);
  return (path) => globs.matches(path.slice(1), false);
}

const finding = (kind: FindingKind, { path }: Pick<TreeEntry, "path">, detail: string): Finding => ({ kind, path, detail });

const ownerOf = ({ uid, gid }: TreeEntry, owners: ReadonlySet<number>): string =>
  owners.has(uid) ? `belongs to group ${gid}, which does not exist` : `belongs to user ${uid}, who does not exist`;

function byPath(tree: CheckTree, entry: TreeEntry): readonly Finding[] {
  const { path, kind, sizeBytes } = entry;
  const name = path.slice(path.lastIndexOf("/") + 1);
  const isFile = kind === "file";
  if (HOST_KEY.test(path)) return [finding("host-key", entry, "is a key of an ssh server")];
  if (/\/\.ssh\/authorized_keys2?$/.test(path) && (isFile ? holdsKeys(tree, path) : kind === "symlink"))
    return [finding("authorized-keys", entry, "lets the owner of a key log in on every machine")];
  if (isFile && (path === "/etc/machine-id" || path === "/var/lib/dbus/machine-id") && sizeBytes > 0)
    return [finding("machine-id", entry, "holds the identity of one machine")];
  if (isFile && /^\/var\/lib\/(?:systemd|urandom)\/random-seed$/.test(path))
    return [finding("random-seed", entry, "is the same for every machine")];
  if (isFile && HISTORY.test(name) && sizeBytes > 0) return [finding("shell-history", entry, "tells what somebody typed")];
  if (CLOUD_STATE.test(path)) return [finding("cloud-init-state", entry, "is what cloud-init keeps of one machine")];
  if (isFile && CACHE.test(path) && !NOT_A_CACHE.test(path))
    return [finding("package-cache", entry, `${sizeBytes} bytes that nothing reads`)];
  if (LEFT_BEHIND.includes(path)) return [finding("left-behind", entry, "is only for the time of an installation")];
  if (isFile && KEY_STORE.test(name)) return [finding("private-key", entry, "is a store of keys, by its name")];
  return [];
}

const holdsKeys = (tree: CheckTree, path: string): boolean => /^[^#\s]/m.test(tree.root.readText(path) ?? "");

function byMode(entry: TreeEntry, isAllowed: (path: string) => boolean): readonly Finding[] {
  const { path, kind, mode } = entry;
  const found: Finding[] = [];
  const sticky = kind === "directory" && (mode & 0o1000) !== 0;
  if ((mode & 0o002) !== 0 && !sticky && (kind === "file" || kind === "directory"))
    found.push(finding("world-writable", entry, `everybody may write to this ${kind} (${mode.toString(8).padStart(4, "0")})`));
  if (kind === "file" && (mode & 0o6000) !== 0 && (mode & 0o111) !== 0 && !isAllowed(path))
    found.push(finding("setuid", entry, `runs as user ${entry.uid}, group ${entry.gid}, whoever starts it (${mode.toString(8)})`));
  return found;
}

/** Files of packages below /usr are Debian's own, and its test keys are no secret. Everything else is read. */
function holdsPrivateKey(tree: CheckTree, entry: TreeEntry, packaged: ReadonlySet<string>): boolean {
  const { path, kind, sizeBytes } = entry;
  if (kind !== "file" || sizeBytes < 64 || sizeBytes > MOST_KEY_BYTES || HOST_KEY.test(path)) return false;
  if (path.startsWith("/usr/") && packaged.has(path)) return false;
  return PRIVATE_KEY.test(new TextDecoder("latin1").decode(tree.contentOf(entry)));
}

/** Files that some package brought, from dpkg's lists. With usrmerge a list may say /bin where the file is in /usr/bin. */
function packagedFiles(tree: CheckTree): ReadonlySet<string> {
  const info = "/var/lib/dpkg/info";
  const lists = tree.root.list(info).filter((name) => name.endsWith(".list"));
  return new Set(
    lists.flatMap((name) =>
      (tree.root.readText(`${info}/${name}`) ?? "").split("\n").map((path) => path.replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/")),
    ),
  );
}

function resolver(tree: CheckTree): readonly Finding[] {
  const path = "/etc/resolv.conf";
  if (tree.root.lstat(path)?.kind !== "file") return [];
  const servers = [...(tree.root.readText(path) ?? "").matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server]) => server);
  return servers.length === 0 ? [] : [{ kind: "left-behind", path, detail: `names ${servers.join(", ")}, of the machine that baked` }];
}

function passwords(tree: CheckTree): readonly Finding[] {
  const inPasswd = (tree.root.readText("/etc/passwd") ?? "")
    .split("\n")
    .map((line) => line.split(":"))
    .filter(([name, hash]) => name !== undefined && name !== "" && hash !== undefined && !/^(?:x|[*!].*)$/.test(hash))
    .map(([name = "", hash = ""]) => ({ name, hash, path: "/etc/passwd" }));
  const inShadow = passwordsOf(tree).map((row) => ({ ...row, path: "/etc/shadow" }));
  return [...inPasswd, ...inShadow]
    .filter(({ hash }) => hash === "" || !/^[*!]/.test(hash))
    .map(({ name, hash, path }) => ({
      kind: "password",
      path,
      detail: hash === "" ? `${name} needs no password` : `${name} has a password that is the same on every machine`,
    }));
}
