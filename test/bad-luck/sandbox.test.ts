import { execFileSync } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Kitchen } from "./kitchen.ts";

/**
 * Each line tries something and says `<name>=<what came of it>`. Root inside, as maintainer scripts are. The root file
 * system of the host would show by the recipe's folder, which every probe looks for.
 */
const PROBES = String.raw`
say() { printf '%s=%s\n' "$1" "$2"; }
try() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }
host=@FOLDER@

say host-folder "$(try ls "$host")"
say host-folder-by-proc "$(for pid in /proc/[0-9]*; do try ls "$pid/root$host"; done | sort -u)"
say host-folder-by-cwd "$(for pid in /proc/[0-9]*; do try ls "$pid/cwd$host"; done | sort -u)"
say mounts-name-the-host "$(cat /proc/self/mountinfo /proc/mounts | grep -c "$host" || true)"
say environment "$(env | sed -n 's/^\([A-Z_]*\)=.*/\1/p' | grep -v -e '^_$' -e SHLVL -e PWD | sort | tr '\n' ' ')"
say processes "$(ls -d /proc/[0-9]* | wc -l | sed 's/^[1-9]$/few/')"
cat /proc/[0-9]*/cmdline 2>/dev/null >/tmp/command-lines
say host-processes "$(tr '\0' ' ' </tmp/command-lines | grep -c -e "$host" -e nsenter -e cli.js || true)"
say hostname "$(hostname) $(cat /etc/hostname) $(uname -n)"
say capabilities "$(grep CapEff /proc/self/status | cut -f2)"
say new-privileges "$(grep NoNewPrivs /proc/self/status | cut -f2)"
say cgroup "$(cut -d: -f3 /proc/self/cgroup | sort -u | tr '\n' ' ')"
say umask "$(umask)"
say processors "$(nproc)"
say descriptors "$(ls /proc/$$/fd | grep -v -x 255 | tr '\n' ' ')"
say standard-error-by-name "$(try sh -c 'echo something >/dev/stderr')"
say user "$(id -u):$(id -g) $(id -G)"

say interfaces "$(sed -n 's/^ *\([a-z0-9]*\):.*/\1/p' /proc/net/dev | tr '\n' ' ')"
say connect-host "$(try bash -c 'exec 3<>/dev/tcp/127.0.0.1/@PORT@')"
say connect-out "$(try bash -c 'exec 3<>/dev/tcp/192.0.2.1/80')"
say abstract-sockets "$(grep -c @ /proc/net/unix || true)"

say mount-tmpfs "$(mkdir -p /srv/m; try mount -t tmpfs none /srv/m)"
say mount-proc "$(try mount -t proc none /srv/m)"
say remount-root "$(try mount -o remount,bind,dev /)"
say umount-proc "$(try umount -l /proc)"
say disk-device "$(for disk in @DISKS@; do rm -f /srv/disk; mknod /srv/disk b $disk && try dd if=/srv/disk of=/dev/null count=1; done | sort -u)"
say own-device "$(mknod /srv/zero c 1 5 && try dd if=/srv/zero of=/dev/null count=1 bs=10)"
say kernel-log "$(dd if=/proc/kmsg count=1 bs=10 iflag=nonblock 2>/dev/null | wc -c)"
rm -f /srv/disk /srv/zero
say chroot-escape "$(perl -e 'mkdir "/srv/jail"; opendir(D, "/"); chroot("/srv/jail"); chdir(*D); chdir("..") for 1..64; chroot("."); exit(-e "$ARGV[0]" ? 0 : 1)' "$host" && echo yes || echo no)"
say write-sysctl "$(try sh -c 'cat /proc/sys/kernel/core_pattern >/proc/sys/kernel/core_pattern')"
say write-sysrq "$(try sh -c 'echo h >/proc/sysrq-trigger')"
say write-hostname "$(try sh -c 'echo other >/proc/sys/kernel/hostname')"
say sys-is-there "$(ls /sys | wc -l)"
say cgroup-is-there "$(ls /sys/fs/cgroup 2>/dev/null | wc -l)"
say dev "$(ls /dev | grep -v -e console -e core | tr '\n' ' ')"
say kill-host "$(try kill -0 @PID@)"
say host-folder-by-descriptor "$(for fd in /proc/self/fd/*; do try ls "$fd$host"; done | sort -u)"
echo inside > /tmp/inside; echo inside > /run/inside; echo inside > /dev/shm/inside
`;

describe.each(["bubblewrap", "runc"] as const)("a step run by %s", (runner) => {
  let kitchen: Kitchen;
  let said: Record<string, string>;

  beforeAll(async () => {
    kitchen = await Kitchen.open();
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const disks = readdirSync("/sys/block").map((name) => readFileSync(`/sys/block/${name}/dev`, "utf8").trim().replace(":", " "));
    const script = PROBES.replaceAll("@FOLDER@", kitchen.folder)
      .replaceAll("@PORT@", String(port))
      .replace("@DISKS@", disks.map((disk) => `"${disk}"`).join(" "))
      .replace("@PID@", String(process.pid));
    kitchen.write("probe.sh", script);
    kitchen.steps("- run: { file: probe.sh, shell: bash }");
    const hostFolder = openSync("/", "r"); // such as a shell or make may leave open
    const run = await kitchen.start(
      ["bake", "--json", "--runner", runner],
      { env: { HOST_SECRET: "of the host", LC_TIME: "de_DE.UTF-8" } },
      { stdio: ["ignore", "pipe", "pipe", hostFolder] },
    ).ended;
    closeSync(hostFolder);
    server.close();
    if (run.code !== 0) throw new Error(run.stderr);
    said = Object.fromEntries(
      kitchen
        .log()
        .flatMap((line) =>
          line.includes("=") ? [[line.slice("app/run: ".length, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]] : [],
        ),
    );
  });
  afterAll(() => kitchen.close());

  it("sees nothing of the host, has no network, and cannot get out", () => {
    expect(said).toEqual({
      "host-folder": "no",
      "host-folder-by-proc": "no",
      "host-folder-by-cwd": "no",
      "mounts-name-the-host": "0",
      environment: "DEBCONF_NONINTERACTIVE_SEEN DEBIAN_FRONTEND HOME LC_ALL LOGNAME PATH SHELL SOURCE_DATE_EPOCH TERM TZ USER ",
      processes: "few",
      "host-processes": "0",
      hostname: "bakehouse tiny bakehouse",
      capabilities: "00000000a80405ff",
      "new-privileges": "1",
      cgroup: "/ ",
      umask: "0022",
      processors: "1",
      descriptors: "0 1 2 3 ", // 3 is what bash itself reads the answer from
      "standard-error-by-name": "yes",
      user: "0:0 0",
      interfaces: "lo ",
      "connect-host": "no",
      "connect-out": "no",
      "abstract-sockets": "0",
      "mount-tmpfs": "no",
      "mount-proc": "no",
      "remount-root": "no",
      "umount-proc": "no",
      "disk-device": "no",
      "own-device": "no",
      "kernel-log": "0",
      "chroot-escape": "no",
      "write-sysctl": "no",
      "write-sysrq": "no",
      "write-hostname": "no",
      "sys-is-there": "0",
      "cgroup-is-there": "0",
      dev: "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ",
      "kill-host": "no",
      "host-folder-by-descriptor": "no",
    });
  });

  it("leaves nothing of /tmp, /run and /dev in the image, and nothing outside of it", async () => {
    expect(execFileSync("find", [`${kitchen.store}/diffs`, "-name", "inside"], { encoding: "utf8" })).toBe("");
    expect(await kitchen.leftovers()).toEqual([]);
  });
});
