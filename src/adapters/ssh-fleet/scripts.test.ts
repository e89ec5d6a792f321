import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hexOf } from "../../core/digest.ts";
import { digestOf } from "./fleet.testing.ts";
import { ACCEPT, CONNECTIONS, EXAMINE, LOGS, MARK_SERVING, MEASURE, PROGRAM, RECEIVE, SWITCH } from "./scripts.ts";

const folder = mkdtempSync(join(tmpdir(), "scripts-"));
const machine = join(folder, "machine");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let erofs = Buffer.alloc(0);
beforeAll(() => {
  for (const name of ["bin", "proc", "sys", "dev", "opt", "tmp"]) mkdirSync(join(machine, name), { recursive: true });
  copyFileSync("/bin/busybox", join(machine, "bin/busybox"));
  execFileSync("chroot", [machine, "/bin/busybox", "--install", "-s", "/bin"]);
  // Debian's busybox leaves it out
  for (const file of ["/usr/bin/flock", ...librariesOf("/usr/bin/flock")]) {
    mkdirSync(join(machine, dirname(file)), { recursive: true });
    copyFileSync(file, join(machine, file));
  }
  mkdirSync(join(folder, "tree"));
  writeFileSync(join(folder, "tree/index.html"), "hello\n");
  execFileSync("mkfs.erofs", ["--quiet", join(folder, "erofs"), join(folder, "tree")]);
  erofs = readFileSync(join(folder, "erofs"));
});

const librariesOf = (program: string): readonly string[] => execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+/g) ?? [];

/**
 * On a machine that has nothing but busybox and flock, in namespaces that end with it; its mounts do, too.
 *
 * @param scripts  with their parameters, one after the other
 */
function run(scripts: readonly (readonly [script: string, ...parameters: string[]])[], input: Buffer | string = ""): string {
  const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
  const lines = scripts.map(
    ([script, ...parameters]) =>
      `chroot ${machine} /bin/sh -c ${["x", ...parameters].reduce((line, word) => `${line} ${quoted(word)}`, quoted(script))}; echo "= $?"`,
  );
  const mounts = ["proc", "sys", "dev"].map((name) => `mount --rbind /${name} ${machine}/${name}`);
  const { stdout, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", [...mounts, ...lines].join("\n")], { input, encoding: "utf8" });
  return stdout + stderr;
}

describe("a machine that has busybox and flock alone, and no systemd", () => {
  const hex = (): string => hexOf(digestOf(erofs));
  it("takes a release, runs it, and says so", () => {
    const examined = run([[EXAMINE, "/opt/b", hex(), "/srv/shop"]], erofs);
    expect(examined).toMatch(/^form erofs\npart erofs 0\npart tar 0\nfree \d{6,}\n= 0\n$/);
    expect(run([[RECEIVE, "/opt/b", `${hex()}.erofs`, "0"]], erofs.subarray(0, 1000))).toBe("part 1000\n= 0\n");
    expect(run([[RECEIVE, "/opt/b", `${hex()}.erofs`, "0"]], erofs)).toBe("part 1000\n= 4\n");
    expect(run([[RECEIVE, "/opt/b", `${hex()}.erofs`, "1000"]], erofs.subarray(1000))).toBe(`part ${erofs.length}\n= 0\n`);
    const done = run([
      [ACCEPT, "/opt/b", hex(), "erofs", hex()],
      [SWITCH, "/opt/b", hex(), "/srv/shop", "shop.service"],
      [SWITCH, "/opt/b", hex(), "/srv/shop", "shop.service"],
      [MARK_SERVING, "/opt/b", "yes"],
      [MEASURE, "/opt/b", "/srv/shop"],
      ["cat /srv/shop/index.html"],
    ]);
    expect(done).toMatch(new RegExp(`^= 0\nchanged\n= 0\nsame\n= 0\n= 0\nbooted \\d{10}\nruns ${hex()}\nserving\n= 0\nhello\n= 0\n$`));
    // the mount has ended with the namespace, as by a reboot
    expect(run([[MEASURE, "/opt/b", "/srv/shop"]])).toContain(
      "odd the release is not mounted: /opt/b/mount-release mounts it, at boot and now\n",
    );
    expect(run([["sh /opt/b/mount-release"], [MEASURE, "/opt/b", "/srv/shop"]])).toContain(`runs ${hex()}\n`);
  });

  it("takes a folder in place of what it cannot mount, and nothing that is not what was announced", () => {
    const tar = execFileSync("tar", ["-C", join(folder, "tree"), "-cf", "-", "."]);
    const other = hexOf(digestOf("a volume"));
    const accept = (digest: string) => [ACCEPT, "/opt/b", other, "tar", digest] as const;
    expect(run([[RECEIVE, "/opt/b", `${other}.tar`, "0"]], tar)).toBe(`part ${tar.length}\n= 0\n`);
    expect(run([accept(other), accept(other)])).toBe("= 6\n= 6\n");
    run([[RECEIVE, "/opt/b", `${other}.tar`, "0"]], tar);
    const done = run([accept(hexOf(digestOf(tar))), [SWITCH, "/opt/b", other, "/srv/shop", ""], [MEASURE, "/opt/b", "/srv/shop"]]);
    expect(done).toMatch(new RegExp(`= 0\nchanged\n= 0\nbooted \\d+\nruns ${other}\n`));
  });

  it("runs one release or the other wherever a switch is ended, and the other once it was asked again", () => {
    const switchTo = (hex: string, script = SWITCH) => [script, "/opt/c", hex, "/srv/c", ""] as const;
    const [one, two] = ["one", "two"].map((text) => {
      const tar = execFileSync("tar", ["-C", join(folder, "tree"), "-cf", "-", "--transform", `s/^/${text}-/`, "index.html"]);
      const hex = hexOf(digestOf(text));
      run([[RECEIVE, "/opt/c", `${hex}.tar`, "0"]], tar);
      run([[ACCEPT, "/opt/c", hex, "tar", hexOf(digestOf(tar))], switchTo(hex)]);
      return hex;
    }) as [string, string];
    const lines = SWITCH.split("\n");
    const begin = lines.indexOf("hex=$1 path=$2 entry=$3");
    const ended = lines
      .map((_, index) => [...lines.slice(0, index), "kill -KILL $$", ...lines.slice(index)].join("\n"))
      .filter((text, index) => index > begin && spawnSync("sh", ["-n", "-c", text]).status === 0);
    expect(ended.length).toBeGreaterThan(30);
    const measure = [MEASURE, "/opt/c", "/srv/c"] as const;
    for (const text of ended) {
      const told = run([switchTo(one), switchTo(two, text), measure, switchTo(two), measure, ["readlink /opt/c/previous"]]);
      const [, afterKill = "", , afterAll = ""] = /runs (\w+)[^]*(changed|same)[^]*runs (\w+)\n= 0\nreleases\/(\w+)\n/.exec(told) ?? [told];
      expect([one, two], told).toContain(afterKill);
      expect(afterAll, told).toBe(two);
      expect(told).toContain(`releases/${one}\n= 0\n`); // previous
    }
  }, 120_000);

  it("counts connections, shows a log, and keeps apart what a program ends with", () => {
    mkdirSync(join(machine, "var/log"), { recursive: true });
    writeFileSync(join(machine, "var/log/messages"), "one\nshop: two\nthree\n");
    const told = run([
      [CONNECTIONS, "/opt/b", "1"],
      [LOGS, "/opt/b", "2", ""],
      [LOGS, "/opt/b", "2", "shop.service"],
      [PROGRAM.replace('"$@"', 'sh -c "exit 255"')],
      [EXAMINE, "/opt/b", hexOf(digestOf("x")), "/var/log"],
    ]);
    expect(told).toContain("0\n= 1\nshop: two\nthree\n= 0\nshop: two\n= 0\n= 254\nrefuse /var/log is a folder with something in it\n");
  });
});
