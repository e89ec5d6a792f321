/** What is done with a file that differs between two runs of the same step, or that says nothing about the image. */
export interface NoiseRule {
  /**
   * Image path. `*` stands for anything within one name; a last component `**` for every file below a directory
   * (the directories stay); a first component `**` for any directory.
   */
  readonly pattern: string;
  readonly action: "remove" | "truncate";
  /** A further condition on the file. */
  readonly only?: OnlyIf;
  /**
   * When a layer below has something here too: `reveal` takes only this layer's file away, so that the one below shows
   * again (it went through this table itself); `hide` leaves a whiteout, for what must be in no image: keys.
   */
  readonly below: "reveal" | "hide";
  readonly why: string;
}

export type OnlyIf =
  /** A symbolic link to exactly this text. */
  | { readonly linkTo: string }
  /** A compiled Python file that is valid by its source's time and size (PEP 552 flags 0), not by its hash. */
  | { readonly timestampBytecode: true };

const EACH_RUN = "differs in each run";
const BACKUP = "the program's copy of the file before its last change";
const LOG = "says when and how the image was made, which its lineage says better";
const LOCK = "an empty file for locking, made again when needed";

const remove = (pattern: string, why: string, extra: Partial<NoiseRule> = {}): NoiseRule => ({
  pattern,
  action: "remove",
  below: "reveal",
  why,
  ...extra,
});
const removeKey = (pattern: string, why: string, extra: Partial<NoiseRule> = {}): NoiseRule =>
  remove(pattern, why, { below: "hide", ...extra });

/**
 * Everything that a baked diff does not keep. Found by baking the same 97 packages twice, a minute apart, in two sandboxes,
 * and comparing (docs: feasibility, "Provision sandbox and reproducibility"); with SOURCE_DATE_EPOCH set, what is not
 * listed here came out equal (man-db index, ld.so.cache, systemd catalog, debconf database, hash-checked .pyc).
 *
 * Compiled Python: what packages, pip and `compileall` make under SOURCE_DATE_EPOCH is valid by its source's hash, equal in
 * each run, and kept. What an `import` writes is valid by its source's time; 147 modules imported by two different programs
 * gave equal bytes (Python 3.11), so only that time differs, but the image clamps it, and the file would be stale from the
 * first boot on.
 */
export const NOISE: readonly NoiseRule[] = [
  {
    pattern: "/etc/machine-id",
    action: "truncate",
    below: "reveal",
    why: 'one per machine; empty lets systemd make one at boot, absent or "uninitialized" would make it a first boot',
  },
  removeKey("/var/lib/dbus/machine-id", "one per machine; D-Bus falls back to /etc/machine-id. A link to that is kept"),
  removeKey("/etc/ssh/ssh_host_*_key", "one per machine; a key in an image is a key that all its instances share"),
  removeKey("/etc/ssh/ssh_host_*_key.pub", "goes with the private key"),
  removeKey("/etc/ssl/private/ssl-cert-snakeoil.key", "one per machine; a key in an image is a key that all its instances share"),
  removeKey("/etc/ssl/certs/ssl-cert-snakeoil.pem", "goes with the private key"),
  removeKey("/etc/ssl/certs/*", "the hash link of that certificate", { only: { linkTo: "ssl-cert-snakeoil.pem" } }),
  removeKey("/var/lib/systemd/random-seed", "entropy that is shared is none"),
  removeKey("/var/lib/systemd/credential.secret", "one per machine; seals systemd's credentials"),
  remove("/var/cache/ldconfig/aux-cache", `${EACH_RUN}: inode numbers and times of the libraries`),
  remove("/var/cache/apt/*.bin", `${EACH_RUN}; apt makes it again`),
  remove("/var/cache/apt/archives/*.deb", "installed already"),
  remove("/var/cache/apt/archives/partial/*", "unfinished downloads"),
  remove("/var/cache/apt/archives/lock", LOCK),
  remove("/var/lib/apt/lists/**", "a mirror's state on one day, and 80 MB of it"),
  remove("/var/log/apt/*", LOG),
  remove("/var/log/dpkg.log*", LOG),
  remove("/var/log/alternatives.log*", LOG),
  remove("/var/log/fontconfig.log", LOG),
  remove("/var/log/bootstrap.log", LOG),
  remove("/var/lib/dpkg/*-old", BACKUP),
  remove("/var/lib/dpkg/lock", LOCK),
  remove("/var/lib/dpkg/lock-frontend", LOCK),
  remove("/var/lib/dpkg/triggers/Lock", LOCK),
  remove("/var/cache/debconf/*-old", BACKUP),
  remove("/etc/passwd-", BACKUP),
  remove("/etc/group-", BACKUP),
  removeKey("/etc/shadow-", `${BACKUP}; holds password hashes that were replaced`),
  removeKey("/etc/gshadow-", `${BACKUP}; holds password hashes that were replaced`),
  remove("/etc/subuid-", BACKUP),
  remove("/etc/subgid-", BACKUP),
  remove("/etc/.pwd.lock", LOCK),
  remove("/var/lib/ucf/*.[0-9]", BACKUP),
  remove("/**/__pycache__/*.pyc", "written when something was imported during the bake", { only: { timestampBytecode: true } }),
];

/** A pattern's component as a test of a name; `*` and `[0-9]` are all that the table uses. */
export function namePattern(component: string): (name: string) => boolean {
  if (!/[*[]/.test(component)) return (name) => name === component;
  const source = component.replace(/[.+?^${}()|\\]/g, "\\$&").replaceAll("*", ".*");
  const pattern = new RegExp(`^${source}$`, "s");
  return (name) => pattern.test(name);
}
