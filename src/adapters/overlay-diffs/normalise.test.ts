import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { NOISE } from "../../core/layer/noise.ts";
import { fingerprint, shell, temporaryFolder } from "./fixtures.ts";
import { overlayDiffs } from "./index.ts";

const { normalise } = overlayDiffs();
const nothingBelow = { lowerHas: () => false };

/** What provisioning leaves behind, by what should become of it. */
const GOES = [
  "var/lib/dbus/machine-id",
  "etc/ssh/ssh_host_rsa_key",
  "etc/ssh/ssh_host_ed25519_key.pub",
  "etc/ssl/private/ssl-cert-snakeoil.key",
  "etc/ssl/certs/ssl-cert-snakeoil.pem",
  "var/lib/systemd/random-seed",
  "var/cache/ldconfig/aux-cache",
  "var/cache/apt/pkgcache.bin",
  "var/cache/apt/srcpkgcache.bin",
  "var/cache/apt/archives/a_1%3a2_amd64.deb",
  "var/cache/apt/archives/lock",
  "var/lib/apt/lists/mirror_InRelease",
  "var/lib/apt/lists/lock",
  "var/lib/apt/lists/partial/x",
  "var/log/apt/term.log",
  "var/log/apt/history.log",
  "var/log/dpkg.log",
  "var/log/dpkg.log.1",
  "var/log/alternatives.log",
  "var/log/fontconfig.log",
  "var/log/bootstrap.log",
  "var/lib/dpkg/status-old",
  "var/lib/dpkg/lock",
  "var/lib/dpkg/lock-frontend",
  "var/lib/dpkg/triggers/Lock",
  "var/cache/debconf/config.dat-old",
  "etc/passwd-",
  "etc/group-",
  "etc/shadow-",
  "etc/gshadow-",
  "etc/subuid-",
  "etc/subgid-",
  "etc/.pwd.lock",
  "var/lib/ucf/registry.0",
  "var/lib/ucf/hashfile.3",
];
const STAYS = [
  "etc/passwd",
  "etc/ssh/sshd_config",
  "etc/ssh/ssh_host_keys.conf",
  "etc/ssl/certs/ca.pem",
  "var/lib/dpkg/status",
  "var/lib/dpkg/triggers/File",
  "var/cache/debconf/config.dat",
  "var/lib/ucf/registry",
  "var/log/app.log",
  "var/lib/apt/extended_states",
  "home/u/etc/machine-id",
  "var/cache/apt/archives/readme",
  "opt/x.pyc",
];

const make = (paths: readonly string[]): string =>
  paths.map((path) => `mkdir -p "$(dirname '${path}')"; echo content >'${path}'`).join("\n");

describe("what a diff does not keep", () => {
  it("takes out everything listed, and nothing else", async () => {
    using work = temporaryFolder();
    shell(
      `${make([...GOES, ...STAYS])}\nln -s ssl-cert-snakeoil.pem etc/ssl/certs/1a2b3c4d.0; ln -s ca.pem etc/ssl/certs/deadbeef.0; echo 0123 >etc/machine-id`,
      work.path,
    );
    const changed = await normalise(work.path, nothingBelow);
    expect(changed).toEqual([...GOES, "etc/ssl/certs/1a2b3c4d.0", "etc/machine-id"].map((path) => `/${path}`).sort());
    expect(GOES.filter((path) => existsSync(join(work.path, path)))).toEqual([]);
    expect(STAYS.filter((path) => !existsSync(join(work.path, path)))).toEqual([]);
    expect(readFileSync(join(work.path, "etc/machine-id"), "utf8")).toBe("");
    expect(lstatSync(join(work.path, "etc/ssl/certs/deadbeef.0")).isSymbolicLink()).toBe(true);
    // directories that held only noise stay: packages own them
    expect(statSync(join(work.path, "var/lib/apt/lists/partial")).isDirectory()).toBe(true);
    expect(await normalise(work.path, nothingBelow)).toEqual([]);
  });

  it("has a test for each rule", () => {
    const untested = NOISE.filter(
      ({ pattern }) =>
        !pattern.includes("pyc") &&
        !pattern.endsWith("certs/*") &&
        !pattern.endsWith("/machine-id") &&
        !pattern.endsWith("partial/*") &&
        !pattern.endsWith("credential.secret"),
    );
    expect(untested.length).toBeLessThanOrEqual(GOES.length);
  });

  it("hides keys that a layer below has, and lets everything else show again", async () => {
    using work = temporaryFolder();
    shell(make(["etc/ssh/ssh_host_rsa_key", "var/log/dpkg.log", "etc/shadow-"]), work.path);
    await normalise(work.path, { lowerHas: (path) => path.startsWith("/etc/ssh/") || path.startsWith("/var/log") });
    const lines = await fingerprint(work.path);
    expect(lines.filter((line) => line.includes("whiteout"))).toEqual(["etc/ssh/ssh_host_rsa_key | whiteout"]);
    expect(readdirSync(join(work.path, "var/log"))).toEqual([]);
  });

  it("leaves links alone and never follows one", async () => {
    using work = temporaryFolder();
    shell(
      `mkdir up outside up/var up/etc; ${make(["outside/dpkg.log", "outside/machine-id"])}\nln -s "$PWD/outside" up/var/log; ln -s "$PWD/outside/machine-id" up/etc/machine-id; mkdir -p up/var/lib/dbus; ln -s /etc/machine-id up/var/lib/dbus/machine-id`,
      work.path,
    );
    expect(await normalise(join(work.path, "up"), nothingBelow)).toEqual([]);
    expect(readFileSync(join(work.path, "outside/dpkg.log"), "utf8")).toBe("content\n");
    expect(readFileSync(join(work.path, "outside/machine-id"), "utf8")).toBe("content\n");
    expect(lstatSync(join(work.path, "up/var/lib/dbus/machine-id")).isSymbolicLink()).toBe(true);
  });

  it("leaves whiteouts alone", async () => {
    using work = temporaryFolder();
    shell("mkdir -p var/log etc; mknod var/log/dpkg.log c 0 0; mknod etc/machine-id c 0 0", work.path);
    expect(await normalise(work.path, nothingBelow)).toEqual([]);
  });

  it("drops bytecode that is valid by its source's time, keeps what is valid by hash", async () => {
    using work = temporaryFolder();
    mkdirSync(join(work.path, "opt/app/pkg"), { recursive: true });
    mkdirSync(join(work.path, "opt/hashed"), { recursive: true });
    shell("echo 'x = 1' >opt/app/pkg/mod.py; echo 'y = 2' >opt/hashed/mod.py", work.path);
    const python = (code: string, environment: Record<string, string>): unknown =>
      execFileSync("python3", ["-c", code], { cwd: work.path, env: { ...process.env, ...environment } });
    python("import sys; sys.path.insert(0, 'opt/app'); import pkg.mod", { PYTHONDONTWRITEBYTECODE: "", PYTHONPYCACHEPREFIX: "" });
    python("import py_compile; py_compile.compile('opt/hashed/mod.py')", { SOURCE_DATE_EPOCH: "1700000000" });
    const changed = await normalise(work.path, nothingBelow);
    expect(changed).toEqual([expect.stringMatching(/^\/opt\/app\/pkg\/__pycache__\/mod\..*\.pyc$/)]);
    expect(existsSync(join(work.path, "opt/app/pkg/__pycache__"))).toBe(false);
    expect(readdirSync(join(work.path, "opt/hashed/__pycache__"))).toHaveLength(1);
  });
});
