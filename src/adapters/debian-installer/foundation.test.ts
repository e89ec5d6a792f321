import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { differences, foundation, makeFoundation, treeOf, type Foundation } from "../../../test/debian/image.ts";
import { MMDEBSTRAP_DIFFERENCES, mmdebstrapInstaller } from "./index.ts";

const chroot = (folder: string, ...argv: readonly string[]): string => execFileSync("chroot", [folder, ...argv], { encoding: "utf8" });

describe.each(["bookworm", "trixie"] as const)("%s", (suite) => {
  let own: Foundation;
  let reference: Foundation;
  beforeAll(async () => {
    own = await foundation(suite);
    reference = await makeFoundation(suite, mmdebstrapInstaller());
  });

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
});

test("every written difference has a reason", () => {
  for (const { reason } of MMDEBSTRAP_DIFFERENCES) expect(reason.length).toBeGreaterThan(20);
});
