import { describe, expect, it } from "vitest";
import type { TarEntry } from "./model.ts";
import { type SafetyRules, safetyChecker } from "./unsafe-entries.ts";

const RULES: SafetyRules = { base: "/opt/app", strip: 0, devices: false, whiteouts: false };
const entry = (path: string, more: Partial<TarEntry> = {}): TarEntry => ({
  path,
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  mtimeSeconds: 0,
  ...more,
});
const link = (path: string, linkTarget: string): TarEntry => entry(path, { kind: "symlink", linkTarget });
const hardlink = (path: string, linkTarget: string): TarEntry => entry(path, { kind: "hardlink", linkTarget });

function examine(
  entries: readonly TarEntry[],
  rules: Partial<SafetyRules> = {},
): { readonly paths: readonly string[]; readonly problems: readonly string[] } {
  const checker = safetyChecker({ ...RULES, ...rules });
  const paths = entries.flatMap((item) => checker.check(item)?.path ?? []);
  return { paths, problems: checker.problems.map(({ path, reason }) => `${path}: ${reason}`) };
}

describe("what would leave the folder", () => {
  it.each<[string, readonly TarEntry[], RegExp]>([
    ["an absolute name", [entry("/etc/passwd")], /its name is absolute/],
    ["dots", [entry("../x")], /\.\./],
    ["dots in the middle", [entry("a/../../x")], /\.\./],
    ["a write through a relative link", [link("a", "../.."), entry("a/x")], /^a\/x: .*leads out/],
    ["a write through an absolute link", [link("a", "/etc"), entry("a/x")], /leads out/],
    ["a write through a link to a neighbour with the same beginning", [link("a", "/opt/app2"), entry("a/x")], /leads out/],
    ["a write through an absolute link that climbs", [link("a", "/opt/app/../../etc"), entry("a/x")], /leads out/],
    ["a write through two links", [link("a", "b/.."), link("b", "../../etc"), entry("a/x"), entry("b/x")], /leads out/],
    ["a loop", [link("a", "b"), link("b", "a"), entry("a/x")], /leads out/],
    ["a hard link to dots", [hardlink("h", "../etc/shadow")], /its hard link contains/],
    ["an absolute hard link", [hardlink("h", "/etc/shadow")], /its hard link is absolute/],
    ["a hard link to nothing of the archive", [hardlink("h", "etc/shadow")], /no earlier file/],
    ["a hard link through a link that leads out", [link("a", "/etc"), hardlink("h", "a/shadow")], /leads out/],
    ["a device", [entry("sda", { kind: "block-device", device: { major: 8, minor: 0 } })], /device/],
    ["a file as the folder itself", [entry("")], /the folder itself/],
  ])("refuses %s", (_, entries, reason) => expect(examine(entries).problems.join("\n")).toMatch(reason));

  it("names all of them", () => {
    expect(examine([entry("/a"), entry("ok"), entry("../b"), hardlink("c", "/d")]).problems).toHaveLength(3);
  });

  it.each([".wh.", ".wh..", ".wh...", "a/.wh..."])("refuses the whiteout %s", (path) => {
    expect(examine([entry(path)], { whiteouts: true }).problems).toHaveLength(1);
    expect(examine([entry(path)], { whiteouts: false }).problems).toHaveLength(0);
  });
});

describe("what stays inside", () => {
  it("keeps links that point anywhere, as long as nothing is written through them", () => {
    expect(examine([link("a", "/etc/passwd"), link("b", "../../../x"), entry("c")])).toEqual({ paths: ["a", "b", "c"], problems: [] });
  });

  it("follows the archive's links inside the folder", () => {
    const entries = [
      link("lib", "usr/lib"),
      entry("lib/x"),
      link("abs", "/opt/app/usr"),
      entry("abs/y"),
      link("usr/up", "../share"),
      entry("usr/up/z"),
    ];
    expect(examine(entries).paths).toEqual(["lib", "usr/lib/x", "abs", "usr/y", "usr/up", "share/z"]);
  });

  it("takes absolute links as the image's own when it goes to the root", () => {
    expect(examine([link("lib", "/usr/lib"), entry("lib/x")], { base: "/" }).paths).toEqual(["lib", "usr/lib/x"]);
  });

  it("forgets a link that a later entry replaces", () => {
    expect(examine([link("a", "/etc"), entry("a", { kind: "directory" }), entry("a/x")]).paths).toEqual(["a", "a", "a/x"]);
  });

  it("drops leading components, also of hard links", () => {
    const entries = [entry("top", { kind: "directory" }), entry("top/a"), hardlink("top/b", "top/a"), entry("top/../c")];
    expect(examine(entries, { strip: 1 })).toMatchObject({ paths: ["a", "b"], problems: ['top/../c: its name contains ".."'] });
  });

  it("takes devices where they are allowed", () => {
    expect(examine([entry("null", { kind: "character-device" })], { devices: true }).problems).toEqual([]);
  });
});
