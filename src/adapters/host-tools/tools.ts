/**
 * What a machine needs for a part of Bakehouse. `core`: every bake. `runc`: `bake --runner runc`. `ansible`: recipes with `ansible` steps.
 * `registry`: foundations from a registry. `squashfs`: that export. `artifacts`: disks that machines start from, and what reads them. `machines`: virtual machines.
 * `cells`: what boots an image as a cell. `fleets`: local fleets. `checks`: the tools of the checks `cis` and `lynis`. `reference`: `foundation.builder: mmdebstrap`. `test`: what only the project's own tests run.
 */
export const FEATURES = [
  "core",
  "runc",
  "ansible",
  "registry",
  "squashfs",
  "artifacts",
  "machines",
  "cells",
  "fleets",
  "checks",
  "reference",
  "test",
] as const;
export type Feature = (typeof FEATURES)[number];

/** A program, or a file that comes in a package. */
export interface HostTool {
  /** Name on the PATH, or an absolute path. */
  readonly name: string;
  readonly debianPackage: string;
  readonly purpose: string;
  readonly features: readonly Feature[];
  /** Arguments that make it print its version: the first dotted number is taken. Without them the Debian package's version is. */
  readonly versionArguments?: readonly string[];
  /** What Debian 12 ships, unless something older was tried; lower is reported, never refused. */
  readonly minimum?: string;
}

const utilLinux = { debianPackage: "util-linux", features: ["core"], versionArguments: ["--version"], minimum: "2.38" } as const;

/** In the order in which `doctor` lists them. */
export const HOST_TOOLS: readonly HostTool[] = [
  { ...utilLinux, name: "unshare", purpose: "namespaces for mounts and steps" },
  { ...utilLinux, name: "nsenter", purpose: "commands in a sandbox that runs" },
  { ...utilLinux, name: "setpriv", purpose: "ends what a bake started when the bake dies" },
  { ...utilLinux, name: "taskset", purpose: "one processor for each step" },
  { ...utilLinux, name: "mount", debianPackage: "mount", purpose: "overlay and erofs mounts" },
  { ...utilLinux, name: "umount", debianPackage: "mount", purpose: "the end of those mounts" },
  {
    name: "ip",
    debianPackage: "iproute2",
    purpose: "sandboxes without a route",
    features: ["core"],
    versionArguments: ["-V"],
    minimum: "5.10",
  },
  {
    name: "bwrap",
    debianPackage: "bubblewrap",
    purpose: "the default sandbox of steps",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "0.8",
  },
  {
    name: "runc",
    debianPackage: "runc",
    purpose: "the other sandbox of steps",
    features: ["runc"],
    versionArguments: ["--version"],
    minimum: "1.1",
  },
  {
    name: "tar",
    debianPackage: "tar",
    purpose: "unpacks packages and archives",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "1.34",
  },
  {
    name: "xz",
    debianPackage: "xz-utils",
    purpose: "unpacks packages and archives",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "5.2",
  },
  {
    name: "zstd",
    debianPackage: "zstd",
    purpose: "packs and unpacks layers",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "1.5",
  },
  {
    name: "dpkg",
    debianPackage: "dpkg",
    purpose: "versions of packages",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "1.21",
  },
  {
    name: "dpkg-deb",
    debianPackage: "dpkg",
    purpose: "reads packages",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "1.21",
  },
  {
    name: "apt-get",
    debianPackage: "apt",
    purpose: "resolves packages at lock time, on the host",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "2.2",
  },
  {
    name: "gpgv",
    debianPackage: "gpgv",
    purpose: "verifies the signatures of repositories",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "2.2",
  },
  {
    name: "/usr/share/keyrings/debian-archive-keyring.gpg",
    debianPackage: "debian-archive-keyring",
    purpose: "Debian's keys, for those signatures",
    features: ["core"],
  },
  {
    name: "getfattr",
    debianPackage: "attr",
    purpose: "extended attributes in diffs",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "2.4",
  },
  {
    name: "setfattr",
    debianPackage: "attr",
    purpose: "extended attributes in diffs",
    features: ["core"],
    versionArguments: ["--version"],
    minimum: "2.4",
  },
  { name: "mkfs.erofs", debianPackage: "erofs-utils", purpose: "release volumes", features: ["core"], minimum: "1.5" },
  {
    name: "mksquashfs",
    debianPackage: "squashfs-tools",
    purpose: "export --format squashfs",
    features: ["squashfs", "artifacts"],
    versionArguments: ["-version"],
    minimum: "4.5",
  },
  {
    name: "/bin/busybox",
    debianPackage: "busybox-static",
    purpose: "the programs of initrds",
    features: ["artifacts", "machines"],
    minimum: "1.30",
  },
  {
    name: "/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
    debianPackage: "systemd-boot-efi",
    purpose: "starts kernel and initrd from the firmware",
    features: ["artifacts"],
    minimum: "250",
  },
  {
    name: "sfdisk",
    debianPackage: "fdisk",
    purpose: "partitions of disk images",
    features: ["artifacts"],
    versionArguments: ["--version"],
    minimum: "2.36",
  },
  { name: "mkfs.vfat", debianPackage: "dosfstools", purpose: "boot partitions of disk images", features: ["artifacts"], minimum: "4.2" },
  {
    name: "mcopy",
    debianPackage: "mtools",
    purpose: "boot partitions of disk images",
    features: ["artifacts"],
    versionArguments: ["--version"],
    minimum: "4.0.26",
  },
  {
    name: "mkfs.ext4",
    debianPackage: "e2fsprogs",
    purpose: "disk images that can be written to",
    features: ["artifacts"],
    minimum: "1.46",
  },
  {
    name: "qemu-img",
    debianPackage: "qemu-utils",
    purpose: "disk images for other hypervisors",
    features: ["artifacts"],
    versionArguments: ["--version"],
    minimum: "7.0",
  },
  {
    name: "ansible-playbook",
    debianPackage: "ansible-core",
    purpose: "ansible steps",
    features: ["ansible"],
    versionArguments: ["--version"],
    minimum: "2.14",
  },
  {
    name: "skopeo",
    debianPackage: "skopeo",
    purpose: "oci steps that name a registry",
    features: ["registry"],
    versionArguments: ["--version"],
    minimum: "1.9",
  },
  {
    name: "mmdebstrap",
    debianPackage: "mmdebstrap",
    purpose: "the reference for foundations",
    features: ["reference"],
    versionArguments: ["--version"],
    minimum: "1.3",
  },
  {
    name: "qemu-system-x86_64",
    debianPackage: "qemu-system-x86",
    purpose: "virtual machines, for vm-boot checks",
    features: ["machines"],
    versionArguments: ["--version"],
    minimum: "7.2",
  },
  {
    name: "/usr/share/OVMF/OVMF_CODE_4M.fd",
    debianPackage: "ovmf",
    purpose: "UEFI firmware of virtual machines",
    features: ["machines"],
  },
  {
    name: "grub-mkimage",
    debianPackage: "grub-common",
    purpose: "tests with a disk as distributions make them",
    features: ["test"],
    versionArguments: ["--version"],
  },
  {
    name: "/usr/lib/grub/x86_64-efi/normal.mod",
    debianPackage: "grub-efi-amd64-bin",
    purpose: "tests with a disk as distributions make them",
    features: ["test"],
  },
  { name: "gpg", debianPackage: "gpg", purpose: "tests that sign repositories", features: ["test"], versionArguments: ["--version"] },
  {
    name: "gpgconf",
    debianPackage: "gpgconf",
    purpose: "tests that sign repositories",
    features: ["test"],
    versionArguments: ["--version"],
  },
  {
    name: "gpg-agent",
    debianPackage: "gpg-agent",
    purpose: "tests that sign repositories",
    features: ["test"],
    versionArguments: ["--version"],
  },
  {
    name: "systemctl",
    debianPackage: "systemd",
    purpose: "tests that enabling units is the same as systemd's own",
    features: ["test"],
    versionArguments: ["--version"],
  },
  {
    name: "umoci",
    debianPackage: "umoci",
    purpose: "tests that others can unpack our images",
    features: ["test"],
    versionArguments: ["--version"],
  },
  {
    name: "buildah",
    debianPackage: "buildah",
    purpose: "tests that others can start from our images",
    features: ["test"],
    versionArguments: ["--version"],
  },
  {
    name: "systemd-nspawn",
    debianPackage: "systemd-container",
    purpose: "the machines of cells",
    features: ["cells"],
    versionArguments: ["--version"],
    minimum: "252",
  },
  {
    name: "haproxy",
    debianPackage: "haproxy",
    purpose: "the load balancer before a local fleet",
    features: ["fleets"],
    versionArguments: ["-v"],
    minimum: "2.6",
  },
  {
    name: "/usr/bin/perl",
    debianPackage: "perl-base",
    purpose: "the keeper of a cell",
    features: ["cells"],
    minimum: "5.32",
  },
  {
    name: "oscap",
    debianPackage: "openscap-scanner",
    purpose: "the check cis",
    features: ["checks"],
    versionArguments: ["--version"],
    minimum: "1.3",
  },
  {
    name: "/usr/share/doc/ssg-debian/copyright",
    debianPackage: "ssg-debian",
    purpose: "the rules of the check cis",
    features: ["checks"],
  },
  {
    name: "lynis",
    debianPackage: "lynis",
    purpose: "the check lynis",
    features: ["checks"],
    versionArguments: ["--version"],
    minimum: "3.0",
  },
  {
    name: "docker-registry",
    debianPackage: "docker-registry",
    purpose: "tests with a registry",
    features: ["test"],
    versionArguments: ["--version"],
  },
  { name: "setfacl", debianPackage: "acl", purpose: "tests of access lists in diffs", features: ["test"], versionArguments: ["--version"] },
  { name: "setcap", debianPackage: "libcap2-bin", purpose: "tests of capabilities in diffs", features: ["test"] },
  { name: "python3", debianPackage: "python3", purpose: "tests of the shop example", features: ["test"], versionArguments: ["--version"] },
];

/** Asking for `test` asks for everything: the tests use it all. */
export const toolsFor = (features: readonly Feature[]): readonly HostTool[] =>
  HOST_TOOLS.filter((tool) => features.includes("test") || tool.features.some((feature) => features.includes(feature)));
