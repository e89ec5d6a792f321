import { chmodSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { copy } from "./copy.ts";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
});
afterEach(() => image.dispose());

describe("options", () => {
  test.each([
    { from: "app", to: "/srv/app" },
    { from: ["a", "b"], to: "/", excludes: ["*.log", "!keep.log"] },
    { from: ".", to: "/srv", owner: "app:www-data", mode: "0640" },
    { from: "a", to: "/b", owner: 1000 },
    { from: "a", to: "/b", owner: ":adm", fileMode: "640", directoryMode: "2750" },
    { from: "a", to: "/b", template: true, parameters: ["version"] },
    { from: "a", to: "/srv/tmp/a" },
  ])("%j is fine", (options) => expect(refusals(copy, options)).toEqual([]));

  test.each([
    [{ from: "../a", to: "/b" }, 'from: "../a" leads out of the recipe\'s folder: copy what is needed into it'],
    [{ from: "/a", to: "/b" }, 'from: "/a" is absolute: name a file or folder by its path from the recipe\'s folder'],
    [{ from: "", to: "/b" }, "from: is empty: name a file or folder beside the recipe"],
    [{ from: "a\0b", to: "/b" }, 'from: "a\\u0000b" has a line break or NUL'],
    [{ from: "a", to: "b" }, 'to: "b" is not absolute: a path inside the image starts with /'],
    [{ from: "a", to: "/b/../c" }, 'to: "/b/../c" has "..": write the path that is meant'],
    [{ from: "a", to: "/b\n" }, 'to: "/b\\n" has a line break or NUL'],
    [
      { from: "a", to: "/run/a" },
      'to: "/run/a" would not be seen below /run: it is empty when a machine starts; for files there, write what systemd-tmpfiles makes at each start to /usr/lib/tmpfiles.d/NAME.conf',
    ],
    [{ from: "a", to: "/tmp" }, expect.stringMatching(/^to: "\/tmp" would not be seen below \/tmp: it is emptied when a machine starts/)],
    [{ from: "a", to: "//var/run//x/" }, expect.stringContaining('to: "/var/run/x" would not be seen below /var/run: ')],
    [{ from: "a", to: "/b", mode: 644 }, 'mode: write the mode in quotes, three or four octal digits such as "0644"'],
    [{ from: "a", to: "/b", mode: "0888" }, 'mode: "0888" is no mode: write it in quotes, three or four octal digits such as "0644"'],
    [{ from: "a", to: "/b", owner: "App User" }, 'owner: "App User" is no owner: write "app", "app:www-data", ":adm" or "1000:1000"'],
    [{ from: "a", to: "/b", mode: "0644", fileMode: "0644" }, "fileMode: mode and fileMode exclude each other"],
    [{ from: "a", to: "/b", parameters: ["x"] }, "parameters: only means something together with template"],
    [{ from: "a", to: "/b", excludes: ["../x"] }, 'excludes.0: "../x" has "..": a pattern stays below its folder'],
    [{ from: "a", to: "/b", too: 1 }, ': Unrecognized key: "too"'],
  ])("%j is refused", (options, message) => expect(refusals(copy, options)).toContainEqual(message));

  test("name what enters the cache key", () => {
    expect(copy.requires?.({ from: ["a", "b"], to: "/", excludes: ["x"], template: true })).toEqual({
      files: [
        { path: "a", excludes: ["x"] },
        { path: "b", excludes: ["x"] },
      ],
      parameters: "all",
    });
    expect(copy.requires?.({ from: "a", to: "/", template: ["*"], parameters: ["p"] })).toEqual({
      files: [{ path: "a" }],
      parameters: ["p"],
    });
    expect(copy.requires?.({ from: "a", to: "/", template: false })).toEqual({ files: [{ path: "a" }] });
  });
});

describe("a folder", () => {
  test.each(["/srv/app", "/srv/app/"])("stands for what is in it (to: %s)", async (to) => {
    chmodSync(image.put("app/bin/start"), 0o700);
    chmodSync(image.put("app/index.html"), 0o600);
    symlinkSync("index.html", join(image.folder, "app/home.html"));
    const before = image.tree();
    await image.run(copy, { from: "app", to });
    expect(changes(before, image.tree())).toEqual({
      added: {
        "/srv": "directory 0755 0:0",
        "/srv/app": "directory 0755 0:0",
        "/srv/app/bin": "directory 0755 0:0",
        "/srv/app/bin/start": 'file 0755 0:0 "app/bin/start"',
        "/srv/app/home.html": "link 0:0 → index.html",
        "/srv/app/index.html": 'file 0644 0:0 "app/index.html"',
      },
      removed: [],
      changed: {},
    });
  });

  test("with owner and modes", async () => {
    chmodSync(image.put("app/bin/start"), 0o700);
    image.put("app/data");
    symlinkSync("data", join(image.folder, "app/link"));
    await image.run(copy, { from: "app", to: "/srv/app", owner: "app:log", fileMode: "0640", directoryMode: "2750" });
    expect(image.tree("/srv")).toEqual({
      "/srv/app": "directory 2750 1001:1500",
      "/srv/app/bin": "directory 2750 1001:1500",
      "/srv/app/bin/start": 'file 0750 1001:1500 "app/bin/start"',
      "/srv/app/data": 'file 0640 1001:1500 "app/data"',
      "/srv/app/link": "link 1001:1500 → data",
    });
  });

  test("laid over a tree refuses what no machine would see, all of it at once", async () => {
    for (const path of ["run/app/pid", "tmp/x", "etc/app.conf", "srv/tmp/fine"]) image.put(`tree/${path}`);
    await expect(image.run(copy, { from: "tree", to: "/" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      help: {
        details: [
          { file: "tree/run/app/pid", message: expect.stringContaining('"/run/app/pid" would not be seen below /run') as string },
          { file: "tree/tmp/x", message: expect.stringContaining('"/tmp/x" would not be seen below /tmp') as string },
        ],
      },
    });
  });

  test("laid over a tree leaves its directories and links to directories alone", async () => {
    image.root.makeDirectory("/etc/ssl/private", { mode: 0o710, gid: 42 });
    image.root.makeDirectory("/usr/lib");
    image.root.symlink("/lib", "usr/lib");
    image.put("root/etc/ssl/private/key", "k");
    image.put("root/lib/plugin.so", "p");
    await image.run(copy, { from: "root", to: "/", owner: "app" });
    expect(image.tree("/etc/ssl")).toEqual({
      "/etc/ssl/private": "directory 0710 0:42",
      "/etc/ssl/private/key": 'file 0644 1001:1002 "k"',
    });
    expect(image.tree("/usr/lib")).toEqual({ "/usr/lib/plugin.so": 'file 0644 1001:1002 "p"' });
    expect(image.root.stat("/etc")).toMatchObject({ uid: 0, gid: 0 });
  });

  test("leaves out excludes and what the ignore file says", async () => {
    image.put(".bakehouseignore", "*.pyc\n");
    for (const path of ["app/a.py", "app/a.pyc", "app/test/x.py", "app/.git/HEAD"]) image.put(path);
    await image.run(copy, { from: "app", to: "/srv", excludes: ["test/"] });
    expect(Object.keys(image.tree("/srv"))).toEqual(["/srv/a.py"]);
  });

  test("does not depend on the umask", async () => {
    image.put("app/a/b");
    const umask = process.umask(0o077);
    try {
      await image.run(copy, { from: "app", to: "/srv" });
    } finally {
      process.umask(umask);
    }
    expect(image.tree("/srv")).toEqual({ "/srv/a": "directory 0755 0:0", "/srv/a/b": 'file 0644 0:0 "app/a/b"' });
  });
});

describe("files", () => {
  test("become `to`, or go into a folder by their names", async () => {
    image.put("conf/x.conf", "x");
    await image.run(copy, { from: "conf/x.conf", to: "/etc/y.conf" });
    await image.run(copy, { from: "conf/x.conf", to: "/etc/x.d/", mode: "0600" });
    expect(image.root.readText("/etc/y.conf")).toBe("x");
    expect(image.tree("/etc/x.d")).toEqual({ "/etc/x.d/x.conf": 'file 0600 0:0 "x"' });
  });

  test("are not put over a directory by guessing", async () => {
    image.put("x.conf");
    image.root.makeDirectory("/etc/x.d");
    await expect(image.run(copy, { from: "x.conf", to: "/etc/x.d" })).rejects.toMatchObject({
      code: "STEP_FAILED",
      message: "base/step: /etc/x.d is a directory in the image and x.conf is a file",
      help: { hint: "write `to: /etc/x.d/` for /etc/x.d/x.conf" },
    });
  });

  test("of a list go into one folder, the later one stays", async () => {
    image.put("one/same", "1");
    image.put("two/same", "2");
    image.put("three", "3");
    await image.run(copy, { from: ["one", "two", "three"], to: "/srv/all" });
    expect(image.tree("/srv/all")).toEqual({ "/srv/all/same": 'file 0644 0:0 "2"', "/srv/all/three": 'file 0644 0:0 "3"' });
  });

  test("cannot go where a file stands in the way", async () => {
    image.put("app/x");
    await expect(image.run(copy, { from: "app", to: "/etc/passwd" })).rejects.toMatchObject({
      code: "STEP_FAILED",
      message: expect.stringContaining("base/step: /etc/passwd"),
    });
    image.put("tree/etc", "a file");
    await expect(image.run(copy, { from: "tree", to: "/" })).rejects.toMatchObject({
      code: "STEP_FAILED",
      message: "base/step: /etc: a directory is there (EISDIR)",
    });
  });

  test("of an unknown owner are refused with what there is", async () => {
    image.put("x");
    await expect(image.run(copy, { from: "x", to: "/x", owner: "ap" })).rejects.toMatchObject({
      message: 'base/step: the image has no user "ap"',
      help: { hint: 'did you mean "app"?; a step "user: ap" before this one makes it' },
    });
    await expect(image.run(copy, { from: "x", to: "/x", owner: "app:nope" })).rejects.toThrow('the image has no group "nope"');
    await image.run(copy, { from: "x", to: "/n", owner: "4242" });
    expect(image.root.stat("/n")).toMatchObject({ uid: 4242, gid: 4242 });
  });
});

describe("templates", () => {
  const parameters = { version: "1.2.0", port: 8080 };

  test("are filled in where asked, binary files stay", async () => {
    image.put("app/a.conf", "v={{version}} {{ port }} {{!version}} ${x} {{.Go}}\n");
    image.put("app/b.txt", "{{version}}");
    image.put("app/c.bin", "\0{{version}}");
    await image.run(copy, { from: "app", to: "/one", template: true }, { parameters });
    await image.run(copy, { from: "app", to: "/two", template: ["*.conf"] }, { parameters });
    expect(image.root.readText("/one/a.conf")).toBe("v=1.2.0 8080 {{version}} ${x} {{.Go}}\n");
    expect(image.root.readText("/one/b.txt")).toBe("1.2.0");
    expect(image.root.readText("/one/c.bin")).toBe("\0{{version}}");
    expect(image.root.readText("/two/b.txt")).toBe("{{version}}");
  });

  test("tell every unknown name with its place", async () => {
    image.put("app/a.conf", "fine {{version}}\n  {{versoin}} {{version}} {{versoin}}\n");
    image.put("app/b.conf", "{{other}}");
    image.put("app/c.conf", "\0");
    await expect(image.run(copy, { from: "app", to: "/x", template: ["*.conf"] }, { parameters })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: [
        'app/a.conf:2:3: there is no parameter "versoin" (did you mean "version"?; {{!versoin}} gives {{versoin}})',
        'app/a.conf:2:27: there is no parameter "versoin" (did you mean "version"?; {{!versoin}} gives {{versoin}})',
        'app/b.conf:1:1: there is no parameter "other" (parameters: version, port; {{!other}} gives {{other}})',
        "app/c.conf: it is not UTF-8 text, so no template (narrow the globs of `template`)",
      ].join("\n"),
    });
  });

  test("use no other parameters than the step names", async () => {
    image.put("a.conf", "{{version}}");
    await expect(image.run(copy, { from: "a.conf", to: "/x", template: true, parameters: ["port"] }, { parameters })).rejects.toThrow(
      'no parameter "version"',
    );
  });
});
