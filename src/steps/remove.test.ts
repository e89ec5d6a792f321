import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { remove } from "./remove.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
  for (const path of [
    "/usr/share/doc/a/copyright",
    "/usr/share/locale/de/x",
    "/usr/share/locale/en_GB/x",
    "/usr/share/locale/.hidden/x",
    "/var/log/a.log",
    "/var/log/sub/b.log",
  ])
    image.root.write(path, "x");
  image.root.symlink("/lib", "usr/lib");
  image.root.makeDirectory("/usr/lib/keep");
  image.root.symlink("/docs", "/usr/share/doc");
});
afterEach(() => image.dispose());

const removed = async (options: unknown): Promise<readonly string[]> => {
  const before = image.tree();
  await image.run(remove, options);
  const { added, removed: gone, changed } = changes(before, image.tree());
  expect([added, changed]).toEqual([{}, {}]);
  return gone;
};

test.each([
  ["/usr", ": /usr is part of every system and cannot be removed"],
  [["/opt/x", "//etc//"], "1: /etc is part of every system and cannot be removed"],
  [{ paths: "x" }, 'paths: "x" is not absolute: a path inside the image starts with /'],
  [{ paths: "/a/../usr" }, 'paths: "/a/../usr" has "..": write the path that is meant'],
  [[], ": Too small: expected array to have >=1 items"],
])("%j is refused", (options, message) => expect(refusals(remove, options)).toContain(message));

describe("removes", () => {
  test("a folder with everything in it", async () => {
    expect(await removed("/usr/share/doc/")).toEqual(["/usr/share/doc", "/usr/share/doc/a", "/usr/share/doc/a/copyright"]);
  });
  test("a link and not what it leads to", async () => {
    expect(await removed(["/docs"])).toEqual(["/docs"]);
  });
  test("through a link on the way", async () => {
    expect(await removed(["/docs/a"])).toEqual(["/usr/share/doc/a", "/usr/share/doc/a/copyright"]);
  });
  test("globs, but for the exceptions and hidden files", async () => {
    expect(await removed({ paths: "/usr/share/locale/*", except: "/usr/share/locale/en*" })).toEqual([
      "/usr/share/locale/de",
      "/usr/share/locale/de/x",
    ]);
  });
  test("at any depth", async () => {
    expect(await removed("/var/**/*.log")).toEqual(["/var/log/a.log", "/var/log/sub/b.log"]);
  });
});

describe("refuses, and removes nothing,", () => {
  const refused = async (options: unknown) => {
    const before = image.tree();
    const cause = await image.run(remove, options).catch((error: unknown) => error);
    expect(image.tree()).toEqual(before);
    return cause;
  };
  test("what matches nothing, all at once", async () => {
    expect(await refused(["/nope", "/var/log/a.log", "/opt/*"])).toMatchObject({
      code: "STEP_FAILED",
      message: "base/step: nothing in the image matches /nope, /opt/*",
    });
    await image.run(remove, { paths: ["/nope"], missing: "ignore" });
  });
  test("a glob that matches what every system needs", async () => {
    expect(await refused("/us?")).toMatchObject({
      message: 'base/step: "/us?" matches /usr, which is part of every system and cannot be removed',
    });
    expect(await refused("/*")).toMatchObject({ code: "STEP_FAILED" });
  });
  test("such a directory under another name", async () => {
    image.root.symlink("/alias", "/");
    expect(await refused("/alias/usr")).toMatchObject({
      message: 'base/step: "/alias/usr" matches /usr, which is part of every system and cannot be removed',
    });
  });
});
