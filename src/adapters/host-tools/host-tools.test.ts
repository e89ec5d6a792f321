import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BakehouseError } from "../../core/errors.ts";
import { checkSetup, findShortfall, installCommand, packagesOf } from "./check-setup.ts";
import { examineHost, isOlder } from "./examine-host.ts";
import { findProgram, pathWithSystemFolders } from "./find-program.ts";
import { type Host, thisHost } from "./host.ts";
import { installPackages } from "./install-packages.ts";
import { FEATURES, HOST_TOOLS, toolsFor } from "./tools.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bakehouse-tools-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of programs that are shell scripts, as the only one on a PATH. */
function programs(name: string, scripts: Readonly<Record<string, string>>): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  for (const [file, script] of Object.entries(scripts)) writeFileSync(join(path, file), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}
const everyProgram = Object.fromEntries(HOST_TOOLS.filter(({ name }) => !name.startsWith("/")).map(({ name }) => [name, "echo 99.1"]));
const debian: Host = {
  platform: "linux",
  architecture: "x64",
  uid: 0,
  path: "",
  hasProc: true,
  canMount: true,
  hasFileSystem: () => true,
  hasNamespace: () => true,
};

function refusal(run: () => void): BakehouseError {
  try {
    run();
  } catch (error) {
    if (error instanceof BakehouseError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("the table of tools", () => {
  it("names each program once, and a feature for each", () => {
    const names = HOST_TOOLS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const feature of FEATURES) expect(HOST_TOOLS.some(({ features }) => features.includes(feature))).toBe(true);
  });

  it("gives the tests everything", () => expect(toolsFor(["test"])).toEqual(HOST_TOOLS));
});

describe("findProgram", () => {
  it("takes executable files only, the first on the PATH", () => {
    const first = programs("first", { bread: "", plain: "" });
    chmodSync(join(first, "plain"), 0o644);
    mkdirSync(join(first, "folder"));
    const second = programs("second", { bread: "" });
    expect(findProgram("bread", `${first}:${second}`)).toBe(join(first, "bread"));
    expect(findProgram("folder", first)).toBeUndefined();
    expect(findProgram("plain", first)).toBeUndefined();
    expect(findProgram("/etc/passwd", first)).toBe("/etc/passwd");
    expect(findProgram("/etc/none", first)).toBeUndefined();
  });

  it("goes on behind a folder that cannot be looked into", () => {
    const good = programs("good", { bread: "" });
    symlinkSync("round", join(good, "round")); // as root may enter every folder, a link to itself stands for one that is closed
    expect(findProgram("bread", `${join(good, "round")}:${good}`)).toBe(join(good, "bread"));
  });

  it("also looks where system programs are", () => {
    expect(pathWithSystemFolders("/opt/bin:/usr/bin")).toBe("/opt/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin");
    expect(pathWithSystemFolders(undefined).split(":")).toContain("/usr/sbin");
  });
});

describe("checkSetup", () => {
  it("passes when all is there", () => {
    const path = programs("all", everyProgram);
    expect(() => checkSetup(["core"], { ...debian, path })).not.toThrow();
  });

  it("names everything that is missing at once, with one command for it", () => {
    const { bwrap: _bwrap, runc: _runc, "ansible-playbook": _ansible, ...rest } = everyProgram;
    const error = refusal(() => checkSetup(["core", "runc", "ansible"], { ...debian, path: programs("some", rest) }));
    expect(error.code).toBe("SETUP_INCOMPLETE");
    expect(error.message).toContain("bwrap (Debian package bubblewrap): the default sandbox of steps");
    expect(error.message).toContain("ansible-playbook");
    expect(error.help.hint).toBe("apt-get install --yes --no-install-recommends ansible-core bubblewrap runc\nbakehouse doctor");
  });

  it("says what to do without root, without the right to mount, without overlay", () => {
    const path = programs("all", everyProgram);
    const hint = (host: Partial<Host>) => refusal(() => checkSetup(["core"], { ...debian, path, ...host })).help.hint;
    expect(hint({ uid: 1000 })).toContain("sudo");
    expect(hint({ hasProc: false, canMount: false })).toBe("mount -t proc proc /proc\nbakehouse doctor");
    expect(hint({ canMount: false })).toContain("--privileged");
    expect(hint({ hasFileSystem: (name) => name !== "overlay" })).toContain("modprobe overlay");
    expect(hint({ hasNamespace: () => false })).toContain("namespaces");
  });

  it("says one thing only on another system", () => {
    const { faults } = findShortfall(["core"], { ...debian, platform: "darwin", architecture: "arm64", uid: 501 });
    expect(faults.map(({ what }) => what)).toEqual(["this is darwin on arm64; images are baked on Linux on x64 (amd64)"]);
  });

  it("knows the command for users and for systems without apt", () => {
    const apt = programs("apt", { "apt-get": "" });
    expect(installCommand(["runc"], { ...debian, path: apt, uid: 1000 })).toBe("sudo apt-get install --yes --no-install-recommends runc");
    expect(installCommand(["runc"], { ...debian, path: folder })).toMatch(/package manager: runc$/);
    expect(packagesOf(toolsFor(["core"])).filter((name) => name === "dpkg")).toEqual(["dpkg"]);
  });

  it("reads the facts of this machine", () => {
    const host = thisHost();
    expect(host).toMatchObject({ platform: "linux", architecture: "x64", uid: process.getuid?.() });
    expect(host.hasNamespace("mnt")).toBe(true);
  });
});

describe("examineHost", () => {
  it("reads versions from wherever a program prints them", async () => {
    const path = programs("versions", {
      ...everyProgram,
      bwrap: "echo bubblewrap 0.11.0",
      runc: "echo 'runc version 1.0.3+ds1' >&2; exit 2",
      "systemd-nspawn": "echo 'systemd 252 (252.39-1~deb12u2)'",
      "mkfs.erofs": "exit 1",
      umoci: "cat",
    });
    const { tools } = await examineHost(FEATURES, { ...debian, path });
    const report = (name: string) => tools.find((tool) => tool.name === name);
    expect(report("bwrap")).toMatchObject({ state: "present", version: "0.11.0", file: join(path, "bwrap") });
    expect(report("runc")).toMatchObject({ state: "old", version: "1.0.3", minimum: "1.1" });
    expect(report("systemd-nspawn")?.version).toBe("252");
    expect(report("mkfs.erofs")?.state).toBe("present");
    expect(report("mkfs.erofs")?.version).toBeUndefined();
    expect(report("umoci")?.state).toBe("present");
  });

  it("compares dotted numbers", () => {
    expect([isOlder("2.9", "2.38"), isOlder("2.38.1", "2.38"), isOlder("3", "2.38"), isOlder("252", "252"), isOlder("1", "1.1")]).toEqual([
      true,
      false,
      false,
      false,
      true,
    ]);
  });
});

describe("installPackages", () => {
  const log = () => join(folder, "apt.log");
  it("asks nothing, takes no recommended packages, and refreshes old lists once", async () => {
    const path = programs("apt-old-lists", {
      "apt-get": `echo "$*" | sed 's/.*Retries=3 //' >> ${log()}; echo "front $DEBIAN_FRONTEND"; ${folder}/policy; echo "policy $?"; case "$*" in *update*) touch ${folder}/fresh ;; *) [ -e ${folder}/fresh ] ;; esac`,
    });
    const lines: string[] = [];
    await installPackages(
      ["runc", "zstd"],
      { ...debian, path: `${path}:/usr/bin:/bin` },
      (line) => lines.push(line),
      join(folder, "policy"),
    );
    expect(lines.slice(0, 2)).toEqual(["front noninteractive", "policy 101"]);
    expect(readdirSync(folder)).not.toContain("policy");
    expect(readFileSync(log(), "utf8").trim().split("\n").slice(-2)).toEqual(["update", "install --yes --no-install-recommends runc zstd"]);
  });

  it("says what apt-get said when it cannot", async () => {
    const path = programs("apt-broken", { "apt-get": "echo 'E: no space left'; exit 100" });
    await expect(
      installPackages(["runc"], { ...debian, path: `${path}:/usr/bin:/bin` }, () => undefined, join(folder, "policy")),
    ).rejects.toMatchObject({
      code: "SETUP_INCOMPLETE",
      message: expect.stringContaining("E: no space left") as string,
      help: { hint: "apt-get update\napt-get install --yes --no-install-recommends runc" },
    });
  });

  it("does nothing for nothing", async () => {
    await installPackages([], { ...debian, path: "/nowhere" }, () => undefined);
  });
});
