import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { file } from "./file.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
});
afterEach(() => image.dispose());

const changed = async (options: unknown, parameters = {}) => {
  const before = image.tree();
  await image.run(file, options, { parameters });
  return changes(before, image.tree());
};

test.each([
  [{ path: "/a" }, ": needs exactly one of content, from, link, directory, ensureLines; none is there"],
  [
    { path: "/a", content: "x", link: "/b" },
    ": needs exactly one of content, from, link, directory, ensureLines; content and link are there",
  ],
  [{ path: "a", content: "x" }, 'path: "a" is not absolute: a path inside the image starts with /'],
  [
    { path: "/proc/sys/vm/swappiness", content: "10" },
    'path: "/proc/sys/vm/swappiness" would not be seen below /proc: each machine fills it by itself; for settings, use the `sysctl` step',
  ],
  [{ path: "/", directory: true }, "path: is the root of the image, not a file"],
  [{ path: "/a", content: "x", template: true }, "template: only means something together with from; content is filled in anyway"],
  [{ path: "/a", link: "/b", mode: "0777" }, "mode: a symbolic link has no mode"],
  [{ path: "/a", ensureLines: ["a\nb"] }, "ensureLines: a line has no line break in it"],
  [{ path: "/a", content: "x", mode: 644 }, 'mode: write the mode in quotes, three or four octal digits such as "0644"'],
])("%j is refused", (options, message) => {
  expect(refusals(file, options).map((text) => text.replace(/^ensureLines\.\d/, "ensureLines"))).toContain(message);
});

describe("writes", () => {
  test("a text, with the directories above", async () => {
    expect(await changed({ path: "/etc/shop/a.conf", content: "a\n", owner: "root:app", mode: "0640" })).toEqual({
      added: { "/etc/shop": "directory 0755 0:0", "/etc/shop/a.conf": 'file 0640 0:1002 "a\\n"' },
      removed: [],
      changed: {},
    });
  });
  test("a number that a parameter gave", async () => {
    expect((await changed({ path: "/port", content: 8080 })).added).toEqual({ "/port": 'file 0644 0:0 "8080"' });
  });
  test("a file of the recipe, filled in or not", async () => {
    image.put("a", "{{version}}");
    expect((await changed({ path: "/plain", from: "a" })).added).toEqual({ "/plain": 'file 0644 0:0 "{{version}}"' });
    expect((await changed({ path: "/filled", from: "a", template: true, mode: "0755" }, { version: 3 })).added).toEqual({
      "/filled": 'file 0755 0:0 "3"',
    });
    await expect(changed({ path: "/x", from: "a", template: true })).rejects.toMatchObject({ code: "INPUT_INVALID" });
    image.put("folder/a");
    await expect(changed({ path: "/x", from: "folder" })).rejects.toThrow("folder is a folder");
  });
  test("a link, in place of what is there", async () => {
    expect(await changed({ path: "/etc/gshadow", link: "shadow", owner: "app" })).toEqual({
      added: {},
      removed: [],
      changed: { "/etc/gshadow": "link 1001:1002 → shadow" },
    });
  });
  test("a directory, or sets the attributes of one", async () => {
    expect((await changed({ path: "/var/lib/shop/", directory: true, owner: "app", mode: "0750" })).added).toMatchObject({
      "/var/lib/shop": "directory 0750 1001:1002",
    });
    expect(await changed({ path: "/var/lib/shop", directory: true, mode: "0700" })).toEqual({
      added: {},
      removed: [],
      changed: { "/var/lib/shop": "directory 0700 1001:1002" },
    });
  });
  test("nothing over a directory", async () => {
    await expect(changed({ path: "/etc", content: "x" })).rejects.toMatchObject({
      code: "STEP_FAILED",
      message: "base/step: /etc: a directory is there (EISDIR)",
    });
    await expect(changed({ path: "/etc/x/", content: "x" })).rejects.toThrow("ends with /");
  });
});

describe("ensureLines", () => {
  test("adds what is missing and keeps owner and mode", async () => {
    image.root.write("/etc/x", "one\ntwo", { mode: 0o600, uid: 1001, gid: 4 });
    expect((await changed({ path: "/etc/x", ensureLines: ["two", "three", "three", 4] })).changed).toEqual({
      "/etc/x": 'file 0600 1001:4 "one\\ntwo\\nthree\\n4\\n"',
    });
    expect(await changed({ path: "/etc/x", ensureLines: ["two", "three"] })).toEqual({ added: {}, removed: [], changed: {} });
    expect((await changed({ path: "/etc/x", ensureLines: "two", mode: "0644" })).changed).toMatchObject({
      "/etc/x": expect.stringContaining("0644 1001:4"),
    });
  });
  test("makes the file", async () => {
    expect((await changed({ path: "/etc/new", ensureLines: "a" })).added).toEqual({ "/etc/new": 'file 0644 0:0 "a\\n"' });
  });
  test("writes where a link leads", async () => {
    image.root.write("/etc/target", "a\n");
    image.root.symlink("/etc/link", "target");
    expect(await changed({ path: "/etc/link", ensureLines: "b" })).toEqual({
      added: {},
      removed: [],
      changed: { "/etc/target": 'file 0644 0:0 "a\\nb\\n"' },
    });
  });
});
