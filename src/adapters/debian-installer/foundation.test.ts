import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  differences,
  foundation,
  makeFoundation,
  openImage,
  removeScratch,
  scratchFolder,
  treeOf,
  type Foundation,
  type Tree,
} from "../../../test/debian/image.ts";
import { debianPackages } from "../../../test/debian/packages.ts";
import type { FoundationInstaller } from "../../ports/foundation-installer.ts";
import { MMDEBSTRAP_DIFFERENCES, mmdebstrapInstaller, ownInstaller } from "./index.ts";

afterAll(removeScratch);

const chroot = (folder: string, ...argv: readonly string[]): string => execFileSync("chroot", [folder, ...argv], { encoding: "utf8" });

/** The normaliser empties it. */
const MACHINE_ID = "/etc/machine-id";

/** The job of the benchmarks: systemd's helper, certificates, users, ucf, debconf, ssh, nginx. */
const BASE = ["curl", "ca-certificates", "chrony", "openssh-server"];
const APP = ["nginx-light"];
const NOISE =
  /^\/var\/(log\/dpkg\.log|log\/alternatives\.log|lib\/dpkg\/[a-z]+-old|cache\/ldconfig\/aux-cache|cache\/debconf\/.*-old|log\/journal.*)$/;

describe.each(["bookworm", "trixie"] as const)("%s", (suite) => {
  let own: Foundation;
  let reference: Foundation;
  beforeAll(async () => {
    own = await foundation(suite);
    reference = await makeFoundation(suite, mmdebstrapInstaller());
  }, 300_000);

  test("dpkg finds nothing to complain about", () => {
    expect(chroot(own.folder, "dpkg", "--audit")).toBe("");
    expect(chroot(own.folder, "dpkg", "--verify")).toBe("");
    expect(
      chroot(own.folder, "dpkg-query", "-W", "-f", "${db:Status-Abbrev}\n")
        .split("\n")
        .filter((line) => line !== "ii " && line !== ""),
    ).toEqual([]);
  });

  test("dpkg's status is the same as mmdebstrap's", () => {
    const status = (made: Foundation): string => readFileSync(join(made.folder, "var/lib/dpkg/status"), "utf8");
    expect(status(own)).toBe(status(reference));
  });

  test("all else is the same too, but for what is written down", () => {
    const found = differences(treeOf(reference.folder, { times: false }), treeOf(own.folder, { times: false }));
    expect(found.filter((line) => !MMDEBSTRAP_DIFFERENCES.some(({ path }) => path.test(line.slice(0, line.indexOf(": ")))))).toEqual([]);
  });

  test("nothing of this host and no repository is in it", () => {
    const read = (path: string): string => readFileSync(join(own.folder, path), "utf8");
    expect(read("etc/hostname")).toBe("localhost\n");
    expect(read("etc/machine-id")).toBe("");
    expect(read("etc/fstab")).toBe("# UNCONFIGURED FSTAB FOR BASE SYSTEM\n");
    const tree = treeOf(own.folder, { times: false });
    for (const path of ["/etc/resolv.conf", "/etc/apt/sources.list", "/usr/sbin/policy-rc.d"]) expect(tree.has(path)).toBe(false);
    expect([...tree.keys()].filter((path) => path.startsWith("/etc/apt/sources.list.d/") || path.includes("bakehouse"))).toEqual([]);
    for (const [path, mode] of [
      ["/tmp", "41777"],
      ["/proc", "40755"],
      ["/run", "40755"],
      ["/dev", "40755"],
      ["/var/tmp", "41777"],
      ["/root", "40700"],
    ]) {
      expect(tree.get(path ?? "")?.split(" ")[0]).toBe(mode);
    }
  });

  /** Two layers; both upper directories, the first one's under /base. */
  async function bake(installer: FoundationInstaller): Promise<Tree> {
    const base = await debianPackages(suite, BASE, { over: own.locked, workFolder: scratchFolder() });
    const app = await debianPackages(suite, APP, { over: [...own.locked, ...base.locked], workFolder: scratchFolder() });
    const lowers = [own.folder];
    const trees: [string, string][] = [];
    for (const { set } of [base, app]) {
      const image = await openImage(lowers);
      try {
        await image.add(installer, set);
        expect(await image.sh("dpkg --audit; dpkg --verify")).toBe("");
        expect(image.lines.filter((line) => line.startsWith("dpkg unpacks these"))).toEqual([]);
      } finally {
        await image.close();
      }
      lowers.push(image.upper);
      for (const [path, entry] of treeOf(image.upper, { times: true }))
        if (!NOISE.test(path) && path !== MACHINE_ID) trees.push([`${lowers.length - 2}:${path}`, entry]);
    }
    return new Map(trees);
  }

  test("real packages on it are installed as plain dpkg does it, to the last file, and without a host key", async () => {
    const plain = await bake(mmdebstrapInstaller());
    const fast = await bake(ownInstaller());
    expect(differences(plain, fast)).toEqual([]);
    expect([...fast.keys()].filter((path) => /ssh_host_|policy-rc|bakehouse|\.dpkg-(new|tmp)/.test(path))).toEqual([]);
    expect(fast.has("0:/etc/ssl/certs/ca-certificates.crt")).toBe(true);
  }, 300_000);
});

test("every written difference has a reason", () => {
  for (const { reason } of MMDEBSTRAP_DIFFERENCES) expect(reason.length).toBeGreaterThan(20);
});
