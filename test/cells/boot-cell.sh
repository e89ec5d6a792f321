#!/bin/sh
# Boots an image's tree in namespaces that die with this process: mounts, network, processes. Started by boot-cell.ts as
#   unshare --mount --net --pid --fork --kill-child --mount-proc sh boot-cell.sh
# with in the environment: LOWERS (overlay lower folders, the newest first), CGROUPS (folders to join), and optionally
# EXTRA (a folder laid over the image), VOLUME and VOLUME_PATH (an erofs image and where to mount it).
set -eu
for folder in $CGROUPS; do echo 0 >"$folder/cgroup.procs"; done
mount -t tmpfs tmpfs /run # systemd-nspawn wants a tmpfs there
mkdir /run/cell
mount -t tmpfs tmpfs /run/cell
mkdir /run/cell/upper /run/cell/work /run/cell/root
mount -t overlay overlay -o "lowerdir=${EXTRA:+$EXTRA:}$LOWERS,upperdir=/run/cell/upper,workdir=/run/cell/work" /run/cell/root
if [ -n "${VOLUME:-}" ]; then
  mkdir -p "/run/cell/root$VOLUME_PATH"
  mount -t erofs -o ro,loop "$VOLUME" "/run/cell/root$VOLUME_PATH"
fi
ip link set lo up
echo ready
read -r _go
# The network namespace is ours, not one of systemd-nspawn's: the test's servers are in it before the machine is.
exec systemd-nspawn --quiet --directory=/run/cell/root --machine=cell --register=no --keep-unit \
  --network-namespace-path=/proc/self/ns/net --boot --console=read-only --kill-signal=SIGRTMIN+3 \
  --link-journal=no --resolv-conf=off --timezone=off "$@"
