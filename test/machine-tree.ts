import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "./shared-store.ts";

/** What a disk, a root and a network card need, and what those stand on: a quarter of all modules, so that trees are small. */
const KEPT = "drivers/virtio drivers/block drivers/scsi drivers/ata drivers/net fs lib net/core".split(" ");

/** Debian's kernel for virtual machines, unpacked: `boot/` and `lib/modules/`. Fetched once per run from the host's own mirror. */
export const debianKernel = (): Promise<string> =>
  once("kernel", (target) => {
    const folder = mkdtempSync(join(tmpdir(), "bakehouse-kernel-"));
    const apt = (...words: readonly string[]): string =>
      execFileSync(words[0] ?? "", words.slice(1), { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    try {
      const name = /Depends: (linux-image-\S+)/.exec(apt("apt-cache", "depends", "linux-image-cloud-amd64"))?.[1];
      if (name === undefined) throw new Error("This host's apt knows no linux-image-cloud-amd64: run apt-get update");
      apt("apt-get", "download", name);
      mkdirSync(target);
      apt("dpkg-deb", "-x", join(folder, readdirSync(folder)[0] ?? ""), join(folder, "whole"));
      for (const name of readdirSync(join(folder, "whole/boot")).filter((each) => each.startsWith("vmlinuz-"))) {
        const modules = `lib/modules/${name.slice("vmlinuz-".length)}/kernel`;
        const paths = [`boot/${name}`, ...KEPT.map((path) => `${modules}/${path}`)];
        execFileSync("cp", ["-a", "--parents", ...paths.filter((path) => existsSync(join(folder, "whole", path))), target], {
          cwd: join(folder, "whole"),
        });
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

/** Says what it sees on the serial console and switches the machine off. */
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
exec >/dev/console 2>&1
echo "saw motd: $(/bin/busybox cat /etc/motd)"
echo "saw site: $(/bin/busybox cat /srv/site/index.html)"
echo "saw kept: $(/bin/busybox cat /kept 2>/dev/null)"
echo written >/kept && echo "saw write: $(/bin/busybox cat /kept)"
/bin/busybox grep -E ' / | /srv' /proc/mounts
/bin/busybox grep -o 'bh.content=[^ ]*' /proc/cmdline
/bin/busybox sync
echo "saw end"
/bin/busybox poweroff -f
`;

/** The smallest tree that a machine can start from, with one of everything that formats might lose. */
export async function putMachine(upper: string): Promise<void> {
  const kernel = await debianKernel();
  for (const folder of ["bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "srv", "odd"]) mkdirSync(join(upper, folder));
  execFileSync("cp", ["-a", join(kernel, "boot"), join(kernel, "lib"), upper]);
  copyFileSync("/bin/busybox", join(upper, "bin/busybox"));
  writeFileSync(join(upper, "sbin/init"), INIT);
  for (const program of ["bin/busybox", "sbin/init"]) chmodSync(join(upper, program), 0o755);
  symlinkSync("busybox", join(upper, "bin/sh"));
  writeFileSync(join(upper, "etc/motd"), "hello\n");
  writeFileSync(join(upper, "etc/os-release"), "ID=test\nPRETTY_NAME=Test\n");
  const odd = join(upper, "odd");
  writeFileSync(join(odd, "naïve name"), "1");
  writeFileSync(Buffer.from(`${odd}/not-utf8-\xff`, "latin1"), "2");
  linkSync(join(odd, "naïve name"), join(odd, "again"));
  execFileSync("mkfifo", [join(odd, "fifo")]);
  execFileSync("mknod", [join(odd, "device"), "c", "1", "3"]);
  writeFileSync(join(odd, "capable"), "");
  execFileSync("setcap", ["cap_net_raw+ep", join(odd, "capable")]);
  writeFileSync(join(odd, "large"), `needle${"-".repeat(20_000)}`);
  execFileSync("setfattr", ["-n", "user.mine", "-v", "kept", join(odd, "again")]);
  execFileSync("setfacl", ["-m", "u:1000:r", join(upper, "etc/motd")]);
  execFileSync("chown", ["-h", "1000:70000", join(odd, "fifo")]);
  chmodSync(join(upper, "tmp"), 0o1777);
}
