import { beforeAll, describe, expect, test } from "vitest";
import { differences, foundation, openImage, scratchFolder, treeOf, type Foundation, type Tree } from "../../../test/debian/image.ts";
import { debianPackages } from "../../../test/debian/packages.ts";
import type { FoundationInstaller } from "../../ports/foundation-installer.ts";
import { mmdebstrapInstaller, ownInstaller } from "./index.ts";

/** The normaliser empties it. */
const MACHINE_ID = "/etc/machine-id";

/** The job of the benchmarks: systemd's helper, certificates, users, ucf, debconf, ssh, nginx. */
const BASE = ["curl", "ca-certificates", "chrony", "openssh-server"];
const APP = ["nginx-light"];
const NOISE =
  /^\/var\/(log\/dpkg\.log|log\/alternatives\.log|lib\/dpkg\/[a-z]+-old|cache\/ldconfig\/aux-cache|cache\/debconf\/.*-old|log\/journal.*)$/;

describe.each(["bookworm", "trixie"] as const)("real packages on %s", (suite) => {
  let below: Foundation;
  beforeAll(async () => {
    below = await foundation(suite);
  }, 300_000);

  /** Two layers; both upper directories, the first one's under /base. */
  async function bake(installer: FoundationInstaller): Promise<Tree> {
    const base = await debianPackages(suite, BASE, { over: below.locked, workFolder: scratchFolder() });
    const app = await debianPackages(suite, APP, { over: [...below.locked, ...base.locked], workFolder: scratchFolder() });
    const lowers = [below.folder];
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

  test("are installed as plain dpkg does it, to the last file, and without a host key", async () => {
    const plain = await bake(mmdebstrapInstaller());
    const own = await bake(ownInstaller());
    expect(differences(plain, own)).toEqual([]);
    expect([...own.keys()].filter((path) => /ssh_host_|policy-rc|bakehouse|\.dpkg-(new|tmp)/.test(path))).toEqual([]);
    expect(own.has("0:/etc/ssl/certs/ca-certificates.crt")).toBe(true);
  }, 300_000);
});
