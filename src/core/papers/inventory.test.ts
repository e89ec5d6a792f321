import { describe, expect, it } from "vitest";
import type { TreeEntry } from "../layer/merge-layers.ts";
import { isInventorySource, takeInventory, type Inventory } from "./inventory.ts";

const PLAIN = { mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, layer: "one" } as const;
const entry = (path: string, content = ""): TreeEntry => ({
  ...PLAIN,
  path,
  kind: "file",
  sizeBytes: content.length,
  sha256: `sha256 of ${path}`,
  sha1: `sha1 of ${path}`,
  ...(isInventorySource({ path }) ? { content: new TextEncoder().encode(content) } : {}),
});
const link = (path: string, linkTarget: string): TreeEntry => ({ ...PLAIN, path, kind: "symlink", sizeBytes: 0, linkTarget });
const folder = (path: string): TreeEntry => ({ ...PLAIN, path, kind: "directory", sizeBytes: 0 });

const stanza = (name: string, more = "", status = "install ok installed"): string =>
  `Package: ${name}\nStatus: ${status}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: M\n${more}Description: about ${name}\n more\n`;
const pathsOf = (inventory: Inventory, name: string): readonly (string | undefined)[] | undefined =>
  inventory.packages.find((pkg) => pkg.name === name)?.files.map((index) => inventory.files[index]?.path);
const unownedPaths = ({ unowned, files }: Inventory): readonly (string | undefined)[] => unowned.map((index) => files[index]?.path);

describe("the inventory of an image", () => {
  it("says which package owns what, through links of merged /usr, and what nobody owns", () => {
    const inventory = takeInventory([
      link("bin", "usr/bin"),
      link("lib", "usr/lib"),
      entry("etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n'),
      entry("etc/mine"),
      folder("usr/bin"),
      entry("usr/bin/tool"),
      entry("usr/lib/x86/lib.so"),
      entry("usr/share/doc/tool/copyright", "Format: https://x/copyright-format/1.0\n\nFiles: *\nLicense: Expat\n"),
      entry("var/lib/dpkg/info/lib:amd64.list", "/.\n/lib\n/lib/x86\n/lib/x86/lib.so\n/lib/x86/gone.so\n"),
      entry("var/lib/dpkg/info/tool.list", "/.\n/bin/tool\n/usr/share/doc/tool/copyright\n"),
      entry("var/lib/dpkg/info/tool.postinst"),
      entry(
        "var/lib/dpkg/status",
        [
          stanza("tool", "Source: toolbox (2.0)\nHomepage: https://x\n"),
          stanza("lib", "Multi-Arch: same\n"),
          stanza("gone", "", "deinstall ok config-files"),
        ].join("\n"),
      ),
    ]);
    expect(inventory.os).toEqual({ id: "debian", versionId: "12", name: "Debian 12" });
    expect(inventory.packages.map(({ name }) => name)).toEqual(["lib", "tool"]);
    expect(inventory.packages[1]).toMatchObject({
      source: "toolbox",
      sourceVersion: "2.0",
      summary: "about tool",
      homepage: "https://x",
      licences: ["MIT"],
    });
    expect(inventory.packages[0]).toMatchObject({ source: "lib", sourceVersion: "1.0", licences: [] });
    expect(pathsOf(inventory, "tool")).toEqual([
      "/usr/bin/tool",
      "/usr/share/doc/tool/copyright",
      "/var/lib/dpkg/info/tool.list",
      "/var/lib/dpkg/info/tool.postinst",
    ]);
    expect(pathsOf(inventory, "lib")).toEqual(["/usr/lib/x86/lib.so", "/var/lib/dpkg/info/lib:amd64.list"]);
    expect(unownedPaths(inventory)).toEqual(["/etc/os-release", "/etc/mine", "/var/lib/dpkg/status"]);
  });

  it("follows diversions", () => {
    const inventory = takeInventory([
      entry("usr/bin/tool"),
      entry("usr/bin/tool.real"),
      entry("var/lib/dpkg/diversions", "/usr/bin/tool\n/usr/bin/tool.real\nwrapper\n"),
      entry("var/lib/dpkg/info/tool.list", "/usr/bin/tool\n"),
      entry("var/lib/dpkg/info/wrapper.list", "/usr/bin/tool\n"),
      entry("var/lib/dpkg/status", `${stanza("tool")}\n${stanza("wrapper")}`),
    ]);
    expect(pathsOf(inventory, "tool")).toContain("/usr/bin/tool.real");
    expect(pathsOf(inventory, "tool")).not.toContain("/usr/bin/tool");
    expect(pathsOf(inventory, "wrapper")).toContain("/usr/bin/tool");
  });

  it("gives a hard link the digests of what it links to, and reads files through links", () => {
    const inventory = takeInventory([
      link("etc/os-release", "../usr/lib/os-release"),
      entry("usr/lib/os-release", "ID=x\n"),
      entry("usr/bin/a"),
      { ...PLAIN, path: "usr/bin/b", kind: "hardlink", sizeBytes: 0, linkTarget: "usr/bin/a" },
      entry("usr/share/doc/tool/copyright", "Format: https://x/copyright-format/1.0\n\nFiles: *\nLicense: ISC\n"),
      link("usr/share/doc/tool-bin", "tool"),
      entry("var/lib/dpkg/status", stanza("tool-bin")),
    ]);
    expect(inventory.os.id).toBe("x");
    expect(inventory.packages[0]?.licences).toEqual(["ISC"]);
    expect(inventory.files.find(({ path }) => path === "/usr/bin/b")).toMatchObject({
      sha256: "sha256 of usr/bin/a",
      sha1: "sha1 of usr/bin/a",
    });
  });

  it("of an image without dpkg has files alone; loops of links end", () => {
    const inventory = takeInventory([link("etc/os-release", "os-release"), link("a", "b"), link("b", "a"), entry("srv/app")]);
    expect(inventory).toMatchObject({ packages: [], unowned: [0], os: { id: "" } });
  });
});
