import { describe, expect, test } from "vitest";
import { refusals } from "../../test/steps/step-image.ts";
import { apt } from "./apt.ts";

describe("options", () => {
  test.each([
    [["curl", "jq"]],
    [["g++", "libc6-dev", "exim4-"]],
    [{ packages: ["nginx=1.22.1-9", "curl/bookworm-backports"] }],
    [{ packages: ["curl"], recommends: true, release: "bookworm-backports" }],
    [{ packages: ["tzdata"], debconf: ["tzdata tzdata/Areas select Europe", "a b/c password ", "a b/c boolean true"] }],
  ])("%j is fine", (options) => expect(refusals(apt, options)).toEqual([]));

  test.each([
    [[], ": name at least one package"],
    [["Curl"], '0: "Curl" is no package: write name, name=version, name/suite, or name- to leave one out'],
    [["curl jq"], '0: "curl jq" is no package: write name, name=version, name/suite, or name- to leave one out'],
    [["curl", "jq", "curl"], ": curl is there twice"],
    [{ packages: ["curl"], release: "Bookworm" }, "release: write the name of a suite, such as bookworm-backports"],
    [
      { packages: ["curl"], debconf: ["tzdata"] },
      'debconf.0: write an answer as "package question type value", such as "tzdata tzdata/Areas select Europe"',
    ],
    [
      { packages: ["curl"], debconf: ["a b/c select x\nd e/f select y"] },
      'debconf.0: write an answer as "package question type value", such as "tzdata tzdata/Areas select Europe"',
    ],
    [{ recommends: true }, "packages: Invalid input: expected array, received undefined"],
    [{ packages: ["curl"], recommend: true }, ': Unrecognized key: "recommend"'],
  ])("%j is refused", (options, message) => expect(refusals(apt, options)).toContain(message));

  test("tell the lock what to resolve", () => {
    expect(apt.requires?.(["curl"])).toEqual({ packages: { names: ["curl"], recommends: false } });
    expect(apt.requires?.({ packages: ["aa", "bb=1", "cc/sid", "dd-"], release: "trixie-backports", recommends: true })).toEqual({
      packages: { names: ["aa/trixie-backports", "bb=1", "cc/sid", "dd-"], recommends: true },
    });
  });
});

test("at launch, apt does the same", () => {
  const launch = { address: "base/apt", parameters: {} };
  expect(apt.atLaunch?.(["curl", "jq"], launch).script).toBe(
    "export DEBIAN_FRONTEND=noninteractive\napt-get update\napt-get install --yes --no-install-recommends -- curl jq",
  );
  expect(
    apt.atLaunch?.({ packages: ["tzdata"], recommends: true, debconf: ["tzdata tzdata/Areas select Europe"] }, launch).script,
  ).toContain(
    "debconf-set-selections <<'BAKEHOUSE_END'\ntzdata tzdata/Areas select Europe\nBAKEHOUSE_END\napt-get install --yes -- tzdata",
  );
});
