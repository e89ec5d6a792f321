import type { CpioEntry } from "./cpio.ts";

const UNIT = `[Unit]
Description=Grow the root file system to its partition
DefaultDependencies=no
Conflicts=shutdown.target
After=systemd-repart.service systemd-remount-fs.service
Before=shutdown.target
ConditionPathIsReadWrite=/

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/sh -c 'exec $(ls /lib/systemd/systemd-growfs /usr/lib/systemd/systemd-growfs 2>/dev/null | head -n 1) /'
`;

/** systemd-repart grows the last partition to the disk, systemd-growfs the file system to the partition; done at every start, which costs nothing when there is nothing to do. */
const FILES: Readonly<Record<string, string>> = {
  "repart.d/50-root.conf": "[Partition]\nType=root-x86-64\n",
  "systemd/system/bakehouse-grow.service": UNIT,
};

/** For `/grow` of the initrd: what a machine's /run holds so that an ext4 root grows to the disk. */
export const GROW_TREE: readonly CpioEntry[] = [
  ...["grow", "grow/repart.d", "grow/systemd", "grow/systemd/system", "grow/systemd/system/local-fs.target.wants"].map(
    (path): CpioEntry => ({ path, kind: "directory" }),
  ),
  ...Object.entries(FILES).map(([path, content]): CpioEntry => ({ path: `grow/${path}`, kind: "file", content })),
  {
    path: "grow/systemd/system/local-fs.target.wants/bakehouse-grow.service",
    kind: "symlink",
    target: "../bakehouse-grow.service",
  },
];
