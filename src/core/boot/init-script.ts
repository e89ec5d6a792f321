/**
 * Drivers and file systems that the initrd takes from the image's kernel, as far as it has them. `first` is what the local QEMU
 * and most clouds need; `later` is loaded when no root appears: a driver costs time at every boot of a machine without KVM.
 */
export const BOOT_MODULES = {
  first: ["virtio_pci", "virtio_mmio", "virtio_blk", "nvme"],
  later: ["virtio_scsi", "sd_mod", "xen_blkfront", "hv_vmbus", "hv_storvsc", "ahci", "ata_piix", "vmw_pvscsi", "mptspi"],
  fileSystems: ["ext4", "squashfs", "erofs", "overlay", "loop"],
  /** For a trimmed boot, in which udev looks at network devices only. */
  network: ["virtio_net"],
} as const;

/** Programs of busybox that the script calls. */
export const INIT_PROGRAMS = ["cat", "cp", "grep", "insmod", "mkdir", "mount", "sh", "sleep", "switch_root", "umount"] as const;

/** How long a disk may take to appear: a guess, generous for network disks of clouds. */
const WAIT_TENTHS = 300;
/** Then the other drivers are loaded: those of `first` make their disks within milliseconds. */
const PATIENCE_TENTHS = 3;

/**
 * Process 1 of the initrd. Words of the kernel's command line that it reads:
 *
 *     root=PARTLABEL=<name of a GPT partition> | root=/dev/…
 *     rootfstype=squashfs|erofs|ext4       default: the first that can be mounted
 *     bh.data=<like root>                  keep what is written above a read-only root on this ext4 instead of in memory
 *     bh.volume=<like root>,<type>,<path>  mount a release volume there; may be repeated
 *     bh.trim                              copy /trim of the initrd into the machine's /run before it starts
 *     bh.grow                              the same with /grow: what lets the root grow to the disk
 *     bh.files                             copy /files of the initrd upon the root
 *     ro                                   mount an ext4 root read-only
 *     init=<path>                          default /sbin/init
 *
 * /trim and /grow are trees for /run, where systemd reads units, drop-ins, generators and definitions as it does in /etc: the
 * image's own files stay as they are.
 */
export const INIT_SCRIPT = `#!/bin/sh
# Finds the root that the kernel's command line names, mounts it and hands over. Written by Bakehouse.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

fail() {
  echo "bakehouse: $*; disks here: $(cat /proc/partitions)"
  echo "<2>bakehouse: $*" >/dev/kmsg
  exit 1
}

root= type= data= volumes= trees= files= access=rw init=/sbin/init
set -f
for word in $(cat /proc/cmdline); do
  case $word in
    root=*) root=\${word#root=} ;;
    rootfstype=*) type=\${word#rootfstype=} ;;
    bh.data=*) data=\${word#bh.data=} ;;
    bh.volume=*) volumes="$volumes \${word#bh.volume=}" ;;
    bh.trim | bh.grow) trees="$trees \${word#bh.}" ;;
    bh.files) files=/files ;;
    ro | rw) access=$word ;;
    init=*) init=\${word#init=} ;;
  esac
done
set +f

loaded=" "
load() {
  for name; do
    [ -e "/modules/$name" ] || continue
    while read -r file; do
      case $loaded in *" $file "*) continue ;; esac
      loaded="$loaded$file "
      insmod "/modules/files/$file" 2>/dev/null
    done <"/modules/$name"
  done
}

# The device of \`PARTLABEL=…\`, or the name itself, in $found once it is there.
find_device() {
  tries=0
  while :; do
    case $1 in
      PARTLABEL=*)
        found=$(grep -lx "PARTNAME=\${1#PARTLABEL=}" /sys/class/block/*/uevent 2>/dev/null)
        found=\${found%%/uevent*}
        found=/dev/\${found##*/}
        ;;
      *) found=$1 ;;
    esac
    [ -b "$found" ] && return
    tries=$((tries + 1))
    [ $tries = ${PATIENCE_TENTHS} ] && load ${BOOT_MODULES.later.join(" ")}
    [ $tries = ${WAIT_TENTHS} ] && fail "there is no disk $1"
    sleep 0.1
  done
}

load ${BOOT_MODULES.first.join(" ")}
[ -n "$root" ] || fail "the command line names no root"
find_device "$root"
device=$found

mount_root() {
  load "$1"
  if [ "$1" = ext4 ]; then
    mount -t ext4 -o "$access" "$device" /newroot
    return
  fi
  mount -t "$1" -o ro "$device" /lower || return
  load overlay
  if [ -n "$data" ]; then
    load ext4
    find_device "$data"
    mount -t ext4 "$found" /upper || fail "$data cannot be mounted"
  else
    mount -t tmpfs -o mode=755 upper /upper
  fi
  mkdir -p /upper/files /upper/work
  mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /newroot
}

if [ -n "$type" ]; then
  mount_root "$type" || fail "$root cannot be mounted as $type"
else
  mount_root squashfs 2>/dev/null || mount_root erofs 2>/dev/null || mount_root ext4 || fail "$root cannot be mounted"
fi

for volume in $volumes; do
  path=\${volume##*,}
  volume=\${volume%,*}
  type=\${volume##*,}
  find_device "\${volume%,*}"
  load "$type"
  mkdir -p "/newroot$path"
  mount -t "$type" -o ro,nodev "$found" "/newroot$path" || fail "the volume of $path cannot be mounted"
done

if [ -n "$trees" ]; then
  mount -t tmpfs -o mode=755,nosuid,nodev run /newroot/run
  for tree in $trees; do
    if [ "$tree" = trim ]; then load ${BOOT_MODULES.network.join(" ")}; fi
    [ -d "/$tree" ] && cp -a "/$tree/." /newroot/run/
  done
fi

[ -n "$files" ] && cp -a "$files/." /newroot/

umount /proc /sys
mount -o move /dev /newroot/dev
exec switch_root /newroot "$init"
`;
