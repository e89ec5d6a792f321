import { describe, expect, it } from "vitest";
import { comparePackages, installedPackages } from "./installed.ts";

const stanza = (name: string, version: string, status = "install ok installed"): string =>
  `Package: ${name}\nStatus: ${status}\nInstalled-Size: 10\nArchitecture: amd64\nVersion: ${version}\nDescription: text\n  Package: not a field\n`;

describe("dpkg's status file", () => {
  it("gives the installed packages, sorted, without those that left only configuration", () => {
    const status = [
      stanza("zlib1g", "1:1.2"),
      stanza("bash", "5.2"),
      stanza("gone", "1", "deinstall ok config-files"),
      stanza("late", "2", "install ok triggers-awaited"),
    ].join("\n");
    expect(installedPackages(status)).toEqual([
      { name: "bash", version: "5.2", architecture: "amd64", installedBytes: 10_240 },
      { name: "late", version: "2", architecture: "amd64", installedBytes: 10_240 },
      { name: "zlib1g", version: "1:1.2", architecture: "amd64", installedBytes: 10_240 },
    ]);
    expect(installedPackages("")).toEqual([]);
  });

  it("is compared by name and by Debian's order of versions", () => {
    const before = installedPackages([stanza("a", "1.9"), stanza("b", "2.0"), stanza("c", "1"), stanza("e", "1")].join("\n"));
    const after = installedPackages([stanza("a", "1.10"), stanza("b", "2.0~rc1"), stanza("d", "1"), stanza("e", "1")].join("\n"));
    expect(comparePackages(before, after).map(({ name, change }) => [name, change])).toEqual([
      ["a", "upgraded"],
      ["b", "downgraded"],
      ["c", "removed"],
      ["d", "added"],
    ]);
  });
});
