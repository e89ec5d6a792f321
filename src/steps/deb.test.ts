import { describe, expect, test } from "vitest";
import { refusals } from "../../test/steps/step-image.ts";
import { deb } from "./deb.ts";

describe("options", () => {
  test.each([
    ["agent.deb"],
    [["a.deb", "vendor/b.deb"]],
    [{ files: ["a.deb"], recommends: true, debconf: ["agent agent/token string x"] }],
  ])("%j is fine", (options) => expect(refusals(deb, options)).toEqual([]));

  test.each([
    ["agent.rpm", ": name a file that ends in .deb"],
    ["/tmp/agent.deb", ': "/tmp/agent.deb" is absolute: name a file or folder by its path from the recipe\'s folder'],
    [["../agent.deb"], '0: "../agent.deb" leads out of the recipe\'s folder: copy what is needed into it'],
    [[], ": name at least one file"],
    [{ files: [] }, "files: name at least one file"],
    [{ file: "a.deb" }, ': Unrecognized key: "file"'],
  ])("%j is refused", (options, message) => expect(refusals(deb, options)).toContain(message));

  test("name what enters the cache key and the lock", () => {
    expect(deb.requires?.("a.deb")).toEqual({
      files: [{ path: "a.deb", kind: "file" }],
      packages: { names: [], recommends: false, files: ["a.deb"] },
    });
  });
});

test("at launch, apt installs the files of the payload", () => {
  expect(deb.atLaunch?.(["a.deb", "v/b.deb"], { address: "base/deb", parameters: {} })).toEqual({
    script:
      'export DEBIAN_FRONTEND=noninteractive\napt-get update\napt-get install --yes --no-install-recommends -- "$BAKEHOUSE_PAYLOAD"/a.deb "$BAKEHOUSE_PAYLOAD"/v/b.deb',
    payload: [{ path: "a.deb" }, { path: "v/b.deb" }],
  });
});
