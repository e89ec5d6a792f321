import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyTree, tinyStore } from "../shared-store.ts";
import { type Bake, type CliOptions, Kitchen } from "./kitchen.ts";

/** Writes down all that a program can ask about where it runs: whatever differs would be in the image. */
const NOSY = `- name: nosy
  run: |
    {
      date +%Z; hostname; id; umask; nproc; pwd; env | sort; locale 2>/dev/null || true
      cat /proc/cpuinfo /proc/meminfo /proc/loadavg /proc/uptime /proc/stat /proc/self/cgroup /proc/net/dev /proc/net/route
      ls -A /tmp /run /dev /root /proc/self/fd | grep -v -x core; ulimit -a; tty || true
      stat -c '%n %a %u %g' / /proc /dev /tmp /run /root /dev/shm /dev/null /dev/pts
    } > /srv/nosy 2>&1
    touch /srv/made; mkdir /srv/folder; ln -s made /srv/link; mknod /srv/pipe p; chmod 4755 /srv/made
- copy: { from: app, to: /srv/app }
- file: { path: /etc/motd, content: "{{greeting}}\\n" }`;
const TOP = "parameters:\n  greeting: { type: string, default: hello }\n";

const LAYERS = `app:
  from: os
  steps:
${NOSY.replaceAll(/^(?=.)/gm, "    ")}
release:
  from: app
  release: { volume: /srv/release }
  steps:
    - copy: { from: app, to: /srv/release }`;

const sh = (script: string): readonly string[] => ["sh", "-c", `${script}; exec "$@"`, "sh"];

describe("the same recipe in other surroundings gives the same digests:", () => {
  let kitchen: Kitchen;
  let calm: Bake;
  let fake: Kitchen["folder"];

  beforeAll(async () => {
    kitchen = await Kitchen.open();
    fake = kitchen.folder;
    for (const name of ["a.txt", "deep/b.txt", "program"]) kitchen.write(`app/${name}`, `content of ${name}\n`);
    kitchen.layers(LAYERS, TOP);
    calm = await kitchen.bake();
  });
  afterAll(() => kitchen.close());

  let sequence = 0;
  /** Bakes all of it anew: another recipe folder, an empty store but for the foundation. */
  async function elsewhere(options: CliOptions & { readonly args?: readonly string[]; readonly under?: readonly string[] }): Promise<Bake> {
    const folder = join(fake, `elsewhere ${sequence++}`);
    copyTree(await tinyStore(), join(folder, "store"));
    copyTree(kitchen.recipe, join(folder, "recipe"));
    const { args = [], ...rest } = options;
    return kitchen.bake([join(folder, "recipe"), ...args], { store: join(folder, "store"), cwd: folder, ...rest });
  }

  it.each<[string, CliOptions & { readonly args?: readonly string[] }]>([
    ["another folder and store", {}],
    ["the other runner", { args: ["--runner", "runc"] }],
    ["another time zone and locale", { env: { TZ: "Asia/Kathmandu", LC_ALL: "de_DE.UTF-8", LANG: "tr_TR.UTF-8", LANGUAGE: "de:fr" } }],
    ["umask 077", { under: sh("umask 077") }],
    ["umask 000 and the other runner", { under: sh("umask 000"), args: ["--runner", "runc"] }],
    ["another host name", { under: ["unshare", "--uts", ...sh("hostname elsewhere.example")] }],
    ["one processor", { under: ["taskset", "--cpu-list", "0"] }],
    ["few descriptors, low limits and low priority", { under: sh("ulimit -n 256 -s 4096; renice -n 10 $$ >/dev/null") }],
    [
      "a noisy environment",
      {
        env: {
          HOME: "/nonexistent",
          USER: "somebody",
          SHELL: "/bin/zsh",
          SOURCE_DATE_EPOCH: "1",
          DEBIAN_FRONTEND: "readline",
          PERL5LIB: "/x",
          BASH_ENV: "/x",
          ENV: "/x",
          POSIXLY_CORRECT: "1",
          TMPDIR: "/nonexistent",
          PAGER: "less",
          CDPATH: "/",
          IFS: ":",
          GREP_OPTIONS: "-i",
          TAR_OPTIONS: "--verbose",
          XZ_OPT: "-9",
          DPKG_FORCE: "all",
          APT_CONFIG: "/x",
        },
      },
    ],
    ["no standard input, open descriptors", { under: sh("exec 5</ 6</etc/passwd <&-") }],
    ["one layer at a time", { args: ["--parallel", "1"] }],
  ])("%s", async (_, options) => {
    expect((await elsewhere(options)).digests).toEqual(calm.digests);
  });

  it("files with other times, owners and modes that a checkout may give", async () => {
    const folder = join(fake, "checkout");
    copyTree(kitchen.recipe, folder);
    execFileSync("sh", ["-ec", "chown -R 1234:1234 app; chmod -R u=rwX,go= app; find app -exec touch -d @12345 {} +"], { cwd: folder });
    copyTree(await tinyStore(), join(fake, "checkout-store"));
    expect((await kitchen.bake([folder], { store: join(fake, "checkout-store") })).digests).toEqual(calm.digests);
  });

  const FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
  it.skipIf(!existsSync(FAKETIME))("another day", async () => {
    expect((await elsewhere({ env: { LD_PRELOAD: FAKETIME, FAKETIME: "+400d" } })).digests).toEqual(calm.digests);
  });

  it("another value of a parameter gives another digest, where it is used", async () => {
    const bake = await kitchen.bake(["--set", "greeting=moin"]);
    expect(bake.digests["os"]).toBe(calm.digests["os"]);
    expect(bake.digests["app"]).not.toBe(calm.digests["app"]);
  });

  it("writes down the nominal machine and nothing of this one", async () => {
    const run = await kitchen.cli(["shell", "tiny/app", "--", "cat", "/srv/nosy"]);
    expect(run.code).toBe(0);
    expect(run.stdout).toMatch(/bakehouse/);
    expect(run.stdout).not.toContain(fake);
  });
});
