import { describe, expect, it } from "vitest";
import { loadOrder, moduleInfo, moduleName, type ModuleInfo } from "./module-info.ts";

const module = (...strings: readonly string[]): Uint8Array => new TextEncoder().encode(`\x7fELF\0${strings.join("\0")}\0more`);

describe("what a module says about itself", () => {
  it.each([
    [module("license=GPL", "depends=virtio_ring,net-failover", "name=x"), { depends: ["virtio_ring", "net_failover"], before: [] }],
    [module("softdep=pre: crc32c", "depends="), { depends: [], before: ["crc32c"] }],
    [module("softdep=pre: a b post: c", "depends=d"), { depends: ["d"], before: ["a", "b"] }],
    [module("license=GPL"), { depends: [], before: [] }],
  ])("is read from its strings: %#", (bytes, info) => expect(moduleInfo(bytes)).toEqual(info));

  it("names files as the kernel names modules", () => expect(moduleName("xen-blkfront.ko.xz")).toBe("xen_blkfront"));
});

describe("the order of loading", () => {
  const infos: Readonly<Record<string, ModuleInfo>> = {
    top: { depends: ["left", "right"], before: ["built_in"] },
    left: { depends: ["bottom"], before: [] },
    right: { depends: ["bottom", "left"], before: [] },
    bottom: { depends: [], before: [] },
    one: { depends: ["two"], before: [] },
    two: { depends: ["one"], before: [] },
  };
  const order = (name: string): readonly string[] => loadOrder(name, (each) => infos[each]);
  it("brings each module once, after what it depends on", () => expect(order("top")).toEqual(["bottom", "left", "right", "top"]));
  it("is empty for what is built in", () => expect(order("built_in")).toEqual([]));
  it("survives a circle", () => expect(order("one")).toEqual(["two", "one"]));
});
