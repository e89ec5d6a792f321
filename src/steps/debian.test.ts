import { describe, expect, test } from "vitest";
import { refusals } from "../../test/steps/step-image.ts";
import { debian } from "./debian.ts";

describe("options", () => {
  test.each([
    ["bookworm"],
    [{ suite: "trixie" }],
    [
      {
        suite: "bookworm",
        variant: "essential",
        components: ["main", "contrib"],
        include: ["systemd"],
        backports: ["curl"],
        security: false,
        updates: false,
      },
    ],
    [{ suite: "bookworm", mirror: "http://mirror.example/debian" }],
    [{ suite: "bookworm", mirror: "file:///srv/debian", sources: "Types: deb\n" }],
  ])("%j is fine", (options) => expect(refusals(debian, options)).toEqual([]));

  test.each([
    ["sid", ": write one of bookworm, trixie"],
    [{ suite: "buster" }, "suite: write one of bookworm, trixie"],
    [{ suite: "bookworm", variant: "buildd" }, 'variant: Invalid option: expected one of "essential"|"minbase"|"standard"'],
    [{ suite: "bookworm", components: [] }, "components: Too small: expected array to have >=1 items"],
    [
      { suite: "bookworm", include: ["a b"] },
      'include.0: "a b" is no package: write name, name=version, name/suite, or name- to leave one out',
    ],
    [
      { suite: "bookworm", mirror: "mirror.example/debian" },
      "mirror: write an address such as http://mirror/debian or file:///srv/mirror/debian",
    ],
    [{ suite: "bookworm", packages: ["curl"] }, ': Unrecognized key: "packages"'],
  ])("%j is refused", (options, message) => expect(refusals(debian, options)).toContain(message));

  test("tell the lock what to resolve", () => {
    const foundation = { suite: "bookworm", variant: "minbase", components: ["main"], security: true, updates: true };
    expect(debian.requires?.("bookworm")).toEqual({ packages: { names: [], recommends: false, foundation } });
    expect(
      debian.requires?.({
        suite: "bookworm",
        include: ["systemd"],
        backports: ["linux-image-amd64"],
        updates: false,
        mirror: "http://m/debian",
      }),
    ).toEqual({
      packages: {
        names: ["systemd", "linux-image-amd64/bookworm-backports"],
        recommends: false,
        foundation: { ...foundation, updates: false, mirror: "http://m/debian" },
      },
    });
  });
});
