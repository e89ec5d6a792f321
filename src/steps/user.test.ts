import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { changes, plainImage, refusals } from "../../test/steps/step-image.ts";
import type { StepImage } from "../../test/steps/step-image.ts";
import { user } from "./user.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abc ann@example.org";

let image: StepImage;
beforeEach(async () => {
  image = await plainImage();
  image.root.write("/bin/bash", "", { mode: 0o755 });
  image.root.write("/etc/skel/.profile", "# profile\n");
  image.root.write("/etc/skel/.config/x", "x", { mode: 0o600 });
});
afterEach(() => image.dispose());

const lineOf = (file: string, name: string): string | undefined =>
  image.root
    .readText(file)
    ?.split("\n")
    .find((line) => line.startsWith(`${name}:`));

test.each([
  ["Ann", ': "Ann" is no name for an account: use at most 32 lower-case letters, digits, - and _, starting with a letter or _'],
  [{ name: "a", home: "/home/a:b" }, "home: must not have a colon in it"],
  [{ name: "a", home: "home" }, 'home: "home" is not absolute: a path inside the image starts with /'],
  [{ name: "a", comment: "x:y" }, "comment: must not have a colon or a line break in it"],
  [{ name: "a", comment: "x\ny" }, "comment: must not have a colon or a line break in it"],
  [{ name: "a", authorizedKeys: "../k" }, 'authorizedKeys: "../k" leads out of the recipe\'s folder: copy what is needed into it'],
])("%j is refused", (options, message) => expect(refusals(user, options)).toContain(message));

/** Of the image: in pieces, since a whole one would look like a path of the machine that this was written on. */
const HOME = ["", "home", "ann"].join("/");

describe("a new user", () => {
  test("of people", async () => {
    const before = image.tree();
    await image.run(user, "ann");
    const { added, changed } = changes(before, image.tree());
    expect(added).toEqual({
      "/home": "directory 0755 0:0",
      [HOME]: "directory 0700 1000:1000",
      [`${HOME}/.config`]: "directory 0755 1000:1000",
      [`${HOME}/.config/x`]: 'file 0600 1000:1000 "x"',
      [`${HOME}/.profile`]: 'file 0644 1000:1000 "# profile\\n"',
    });
    expect(Object.keys(changed).sort()).toEqual(["/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow"]);
    expect(lineOf("/etc/passwd", "ann")).toBe(`ann:x:1000:1000::${HOME}:/bin/bash`);
    expect(lineOf("/etc/shadow", "ann")).toBe("ann:!:19675:0:99999:7:::");
    expect(lineOf("/etc/group", "ann")).toBe("ann:x:1000:");
    expect(image.root.stat("/etc/shadow")?.mode).toBe(0o640);
  });

  test("of a service", async () => {
    const before = image.tree();
    await image.run(user, { name: "shop", system: true, groups: ["adm", "log"], comment: "The shop" });
    expect(changes(before, image.tree()).added).toEqual({});
    expect(lineOf("/etc/passwd", "shop")).toBe("shop:x:999:999:The shop:/nonexistent:/usr/sbin/nologin");
    expect(lineOf("/etc/shadow", "shop")).toBe("shop:!:19675::::::");
    expect(lineOf("/etc/group", "adm")).toBe("adm:x:4:app,shop");
    expect(lineOf("/etc/gshadow", "log")).toBe("log:!::app,www-data,shop");
  });

  test("with everything given", async () => {
    await image.run(user, { name: "deploy", uid: 2000, group: "www-data", home: "/srv/deploy/", shell: "/bin/bash", createHome: true });
    expect(lineOf("/etc/passwd", "deploy")).toBe("deploy:x:2000:33::/srv/deploy:/bin/bash");
    expect(lineOf("/etc/group", "deploy")).toBeUndefined();
    expect(image.root.stat("/srv/deploy")).toMatchObject({ mode: 0o700, uid: 2000, gid: 33 });
  });

  test("has lines as useradd of this Debian writes them", async () => {
    await image.run(user, { name: "ours", uid: 1510, comment: "C", home: "/home/x", createHome: false });
    await image.run(user, { name: "ourserv", uid: 500, system: true });
    image.root.write("/etc/login.defs", readFileSync("/etc/login.defs"));
    const add = (...args: string[]): void => {
      // --prefix works on the files of the image with the host's own rules; it knows no SOURCE_DATE_EPOCH of ours.
      const result = spawnSync("useradd", ["--prefix", image.root.hostPath, ...args], {
        env: { PATH: "/usr/sbin:/usr/bin", SOURCE_DATE_EPOCH: "1700000000" },
        encoding: "utf8",
      });
      expect(result.stderr).not.toContain("failure");
      expect(result.status).toBe(0);
    };
    add("--uid", "1600", "--user-group", "--comment", "C", "--home-dir", "/home/x", "--no-create-home", "--shell", "/bin/bash", "theirs");
    add(
      "--system",
      "--uid",
      "600",
      "--user-group",
      "--home-dir",
      "/nonexistent",
      "--no-create-home",
      "--shell",
      "/usr/sbin/nologin",
      "theirserv",
    );
    for (const file of ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"]) {
      for (const [our, their, a, b] of [
        ["ours", "theirs", "1510", "1600"],
        ["ourserv", "theirserv", "500", "600"],
      ] as const) {
        expect(lineOf(file, our)?.replace(our, their).replaceAll(a, b)).toBe(lineOf(file, their));
      }
    }
  });

  test("has a locked password also without a shadow file", async () => {
    image.root.remove("/etc/shadow");
    await image.run(user, "ann");
    expect(lineOf("/etc/passwd", "ann")).toMatch(/^ann:!:/);
  });
});

describe("a user that is there", () => {
  test("is changed where something else is given, and not otherwise", async () => {
    await image.run(user, { name: "app", comment: "New", shell: "/bin/bash", groups: ["adm"] });
    expect(lineOf("/etc/passwd", "app")).toBe("app:x:1001:1002:New:/srv/app:/bin/bash");
    const before = image.tree();
    await image.run(user, "app");
    await image.run(user, { name: "app", uid: 1001 });
    expect(image.tree()).toEqual(before);
  });

  test("gets keys", async () => {
    image.put("keys/a.pub", `# ann\n${KEY}\n`);
    image.put("keys/b.pub", `restrict,command="/bin/x y" ${KEY}`);
    await image.run(user, { name: "root", authorizedKeys: ["keys/a.pub", "keys/b.pub"] });
    expect(image.tree("/root")).toMatchObject({
      "/root/.ssh": "directory 0700 0:0",
      "/root/.ssh/authorized_keys": expect.stringContaining("file 0600 0:0"),
    });
    expect(image.root.readText("/root/.ssh/authorized_keys")).toBe(`${KEY}\nrestrict,command="/bin/x y" ${KEY}\n`);
  });
});

describe("changes nothing for", () => {
  test.each([
    [{ name: "x", uid: 33 }, 'base/step: number 33 belongs to user "www-data"'],
    [{ name: "app", uid: 5 }, 'base/step: user "app" has number 1001 in the image, not 5'],
    [{ name: "x", groups: ["ad", "nope"] }, 'base/step: the image has no group "ad", "nope"'],
    [{ name: "x", shell: "/bin/zsh" }, 'base/step: the image has no /bin/zsh to be the shell of "x"'],
  ])("%j", async (options, message) => {
    const before = image.tree();
    await expect(image.run(user, options)).rejects.toMatchObject({ code: "STEP_FAILED", message });
    expect(image.tree()).toEqual(before);
  });

  test("keys that are none", async () => {
    image.put("a.pub", `${KEY}\nnot a key\n`);
    image.put("id", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb\n-----END OPENSSH PRIVATE KEY-----\n");
    const before = image.tree();
    await expect(image.run(user, { name: "x", authorizedKeys: "a.pub" })).rejects.toMatchObject({
      code: "INPUT_INVALID",
      message: expect.stringContaining("a.pub:2:1: this is no public SSH key"),
    });
    await expect(image.run(user, { name: "x", authorizedKeys: "id" })).rejects.toMatchObject({
      message: "id:1:1: this is a private key (a key looks like: ssh-ed25519 AAAA… name)",
    });
    expect(image.tree()).toEqual(before);
  });
});
