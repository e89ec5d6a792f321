import { chmodSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { StepDefinition } from "../../src/core/step.ts";
import { copy } from "../../src/steps/copy.ts";
import { file } from "../../src/steps/file.ts";
import { group } from "../../src/steps/group.ts";
import { remove } from "../../src/steps/remove.ts";
import { run } from "../../src/steps/run.ts";
import { sysctl } from "../../src/steps/sysctl.ts";
import { system } from "../../src/steps/system.ts";
import { systemd } from "../../src/steps/systemd.ts";
import { user } from "../../src/steps/user.ts";
import { makeBase, sandboxImage } from "./step-image.ts";
import type { Base, StepImage } from "./step-image.ts";

/** What a Debian machine has when cloud-init runs. */
const PROGRAMS =
  "chmod chown cp cut dirname find getent grep groupadd head install ln mktemp mv sed systemctl tail tar useradd usermod hostname".split(
    " ",
  );
const PARAMETERS = { version: "1.2/3&4", port: 8080 };

let baked: StepImage;
let launched: StepImage;
let base: Base;
beforeAll(() => {
  base = makeBase(PROGRAMS);
});
afterAll(() => base.dispose());
beforeEach(async () => {
  baked = await sandboxImage(base);
  launched = await sandboxImage(base);
});
afterEach(async () => {
  await (baked as StepImage | undefined)?.dispose();
  await (launched as StepImage | undefined)?.dispose();
});

/** Bakes the step in one image, runs its script for launch in another one, and compares. */
async function both(step: StepDefinition, options: unknown): Promise<void> {
  await baked.run(step, options, { parameters: PARAMETERS });
  const { script } = step.atLaunch?.(step.options.parse(options), { address: "base/step", parameters: PARAMETERS }) ?? {
    script: "exit 99",
  };
  const result = await launched.sandbox().run({
    argv: ["/bin/sh", "-eu"],
    stdin: script,
    environment: { BAKEHOUSE_PAYLOAD: "/run/payload" },
    mounts: [{ hostPath: baked.folder, path: "/run/payload" }],
  });
  expect({ exitCode: result.exitCode, ...(result.exitCode === 0 ? {} : { tail: result.tail, script }) }).toEqual({ exitCode: 0 });
}

const same = (path: string): void => expect(launched.tree(path)).toEqual(baked.tree(path));

describe("the script for launch leaves what baking leaves:", () => {
  test("copy of a folder", async () => {
    chmodSync(baked.put("my app/bin/it's"), 0o700);
    baked.put("my app/data.txt", "{{version}}:{{ port }}:{{!version}}:{{Other}}");
    symlinkSync("data.txt", join(baked.folder, "my app/link"));
    for (const image of [baked, launched]) image.root.makeDirectory("/srv/app/bin", { mode: 0o711, gid: 4 });
    await both(copy, {
      from: "my app",
      to: "/srv/app",
      owner: "app:log",
      fileMode: "0640",
      directoryMode: "0750",
      template: ["*.{none,md}", "/sub/**/x"],
    });
    same("/srv");
    await both(copy, { from: "my app", to: "/srv/new/one" });
    same("/srv/new/one");
  });

  test("copy of files with templates", async () => {
    baked.put("a.conf", "{{version}}:{{ port }}:{{!version}}\n");
    baked.put("b.conf", "b");
    for (const path of ["a.html", "a.txt", "b/c.html", "b/keep.html", "docs/a/b.md"]) baked.put(`site/${path}`, "{{version}}");
    await both(copy, { from: "site", to: "/srv/site", template: ["*.{html,htm}", "docs/**/*.md", "!keep.html"] });
    same("/srv/site");
    await both(copy, { from: "a.conf", to: "/etc/app/main.conf", template: true, mode: "0600" });
    await both(copy, { from: ["a.conf", "b.conf"], to: "/etc/app" });
    same("/etc/app");
  });

  test("file", async () => {
    baked.put("x.sh", "{{port}}");
    await both(file, { path: "/etc/app/it's $HOME.conf", content: "$HOME `x` 'q' \\n\nBAKEHOUSE_END\n", owner: "app", mode: "0640" });
    await both(file, { path: "/etc/app/no-end", content: "no line end" });
    await both(file, { path: "/etc/app/empty", content: "" });
    await both(file, { path: "/etc/app/from", from: "x.sh", template: true, mode: "0755" });
    await both(file, { path: "/etc/app/folder", directory: true, owner: ":adm", mode: "2750" });
    await both(file, { path: "/etc/app/link", link: "../x y", owner: "app" });
    for (const image of [baked, launched]) image.root.write("/etc/app/lines", "one\ntwo", { mode: 0o600, uid: 1001 });
    await both(file, { path: "/etc/app/lines", ensureLines: ["two", "-n x", "three\\n"] });
    await both(file, { path: "/etc/app/lines", ensureLines: ["two", "four"], mode: "0644" });
    same("/etc/app");
  });

  test("remove", async () => {
    const paths = ["/opt/a b/x", "/opt/a c/y", "/opt/deep/er/z.log", "/opt/z.log", "/opt/keep/en", "/opt/keep/de", "/opt/keep/.hidden"];
    for (const image of [baked, launched]) for (const path of paths) image.root.write(path, "x");
    await both(remove, "/opt/a b");
    await both(remove, { paths: ["/opt/**/*.log", "/opt/keep/*", "/opt/none"], except: "/opt/keep/en*", missing: "ignore" });
    same("/opt");
  });

  test("run", async () => {
    for (const image of [baked, launched]) image.root.makeDirectory("/out", { uid: 1001 });
    baked.put("script", 'echo "$1 $GREETING $(pwd) $(id -u):$(id -g):$(id -G)" > /out/file');
    baked.put("hash-bang", "#!/bin/bash\necho ${BASH_VERSION:+bash} $* > /out/bang\n");
    await both(run, "echo 'a  b' > /out/short");
    await both(run, { script: "echo '$x' >> /out/inline\n", shell: "bash" });
    await both(run, { file: "script", arguments: ["a'b"], environment: { GREETING: "$HOME" }, workingDirectory: "/out" });
    await both(run, { file: "hash-bang", arguments: [1, "x y"] });
    await both(run, { script: 'echo "$(id -u):$(id -g)" > /out/user', user: "app" });
    await both(run, { script: 'echo "$(id -u):$(id -g)" > /out/group', user: "app:log" });
    same("/out");
  });

  test("user and group", async () => {
    for (const image of [baked, launched]) {
      image.root.write("/etc/skel/.profile", "p");
      image.root.write("/usr/sbin/nologin", "", { mode: 0o755 });
      image.root.write(
        "/etc/login.defs",
        "UID_MIN 1000\nSYS_UID_MIN 100\nSYS_UID_MAX 999\nSYS_GID_MIN 100\nSYS_GID_MAX 999\nHOME_MODE 0700\nPASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\nUSERGROUPS_ENAB yes\n",
      );
    }
    baked.put("key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abc x\n");
    await both(group, { name: "team", gid: 900, members: ["app", "www-data"] });
    await both(group, "team");
    await both(user, { name: "ann", uid: 2000, groups: ["team"], comment: "Ann A", authorizedKeys: "key.pub" });
    await both(user, { name: "shop", uid: 950, system: true });
    await both(user, { name: "root", authorizedKeys: "key.pub" });
    for (const path of ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow"])
      expect(launched.root.readText(path)).toBe(baked.root.readText(path));
    same("/home");
    same("/root");
  });

  test("systemd, sysctl and system", async () => {
    for (const image of [baked, launched]) {
      image.root.write("/usr/lib/systemd/system/nginx.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n");
      image.root.write("/usr/lib/systemd/system/graphical.target", "[Unit]\n");
      image.root.write("/etc/os-release", 'VERSION_ID="12"\n');
      image.root.write("/usr/share/zoneinfo/Europe/Berlin", "x");
      image.root.write("/etc/hostname", "old\n");
      image.root.write("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1 old\n");
    }
    baked.put("shop.service", "[Service]\nExecStart=/bin/true {{port}}\n[Install]\nWantedBy=multi-user.target\n");
    await both(systemd, {
      units: [{ from: "shop.service", template: true }],
      dropIns: [{ unit: "nginx", content: "[Service]\nNice=1\n" }],
      enable: ["shop", "nginx"],
      mask: ["apt-daily.timer"],
      defaultTarget: "graphical.target",
    });
    await both(systemd, { disable: ["nginx"], unmask: ["apt-daily.timer"] });
    await both(sysctl, { "vm.swappiness": 10 });
    await both(system, { hostname: "from-dhcp", locale: "C.UTF-8", timezone: "Europe/Berlin" });
    for (const folder of ["/etc/systemd", "/etc/sysctl.d", "/etc/default"]) same(folder);
    for (const path of ["/etc/hostname", "/etc/hosts", "/etc/localtime", "/etc/timezone"])
      expect([path, launched.tree("/etc")[path]]).toEqual([path, baked.tree("/etc")[path]]);
  });
});
