/**
 * What runs on a machine: scripts for any sh(1) with coreutils, util-linux and tar, or with busybox and flock(1). What is kept there:
 *
 *     <root>/releases/<hex>.erofs        a release volume, whole; its digest was right when it arrived
 *     <root>/releases/<hex>.erofs.part   as much of it as has arrived
 *     <root>/releases/<hex>/             where it is mounted; a plain folder where erofs cannot be mounted (on its way: <hex>.tar.part)
 *     <root>/releases/<hex>.stamp        what stat(1) said of it when the digest was right: whatever was changed since is not that release
 *     <root>/current, previous           links to releases/<hex>; the path of the volume is a link to current
 *     <root>/started                     the release that the entry was started with, once it was
 *     <root>/serving                     there while the machine is let into traffic
 *     <root>/mount-release               mounts what current leads to; run at boot by bakehouse-release.service
 *     <root>/lock, sender                who is at work here (flock); the process group that is just receiving
 *
 * Whatever a script does, it may be ended at any place and run again. One that refuses says why, after `bakehouse: `, and ends with 3.
 */
/** A guess at the longest that sending and a slow restart take; whoever waits longer is told. */
const LOCKED_SECONDS = 300;

const PRELUDE = `
set -u
PATH=$PATH:/usr/sbin:/sbin
umask 022
refuse() { echo "bakehouse: $*" >&2; exit 3; }
size() { stat -c %s "$1" 2>/dev/null || echo 0; }
# Waits for whoever is at work. One that receives, and got nothing for a while, has lost its connection without knowing: it is ended.
lock() {
  command -v flock >/dev/null || refuse "it has no flock (util-linux)"
  exec 9>>lock
  before=; same=0; waited=0
  until flock -n 9; do
    [ $waited -lt ${LOCKED_SECONDS} ] || refuse "somebody else has been at work in $root for $waited s"
    sleep 1; waited=$((waited + 1))
    now="$(cat sender 2>/dev/null) $(stat -c '%n %s' releases/*.part 2>/dev/null)"
    if [ -s sender ] && [ "$now" = "$before" ]; then same=$((same + 1)); else same=0; fi
    before=$now
    [ $same -lt 10 ] || { kill -KILL "-$(cat sender)"; same=0; }
  done
  rm -f sender
}
# The file of a release changes its numbers when it is written to or replaced, the files of a folder likewise. Numbers of folders may
# be others after a reboot (overlayfs), so those of inodes are left out there.
stamp_of() {
  if [ -f "releases/$1.erofs" ]; then stat -c 'erofs %i %s %Y %Z' "releases/$1.erofs"
  elif [ -d "releases/$1" ]; then
    echo "folder $(cd "releases/$1" && find . -exec stat -c '%n %f %s %Y %Z %u %g' {} + | LC_ALL=C sort | sha256sum)"
  fi
}
is_whole() { [ -s "releases/$1.stamp" ] && [ "$(stamp_of "$1")" = "$(cat "releases/$1.stamp")" ]; }
stamp() { stamp_of "$1" > "releases/$1.stamp.new" && mv "releases/$1.stamp.new" "releases/$1.stamp"; }
# The file behind the newest mount at a place.
backing() {
  found=
  while read -r _ _ device _ at rest; do [ "$at" != "$1" ] || found="$device $rest"; done < /proc/self/mountinfo
  case $found in *" - erofs "*) ;; *) return ;; esac
  number=\${found%% *} source=\${found##* - erofs }
  cat "/sys/dev/block/$number/loop/backing_file" 2>/dev/null || echo "\${source%% *}"
}
# So that it outlives a power cut.
keep() { sync -f . 2>/dev/null || sync; }
has_systemd() { [ -d /run/systemd/system ]; }
`;

const script = (text: string): string => `${PRELUDE}
mkdir -p "$1/releases" || refuse "$1 cannot be made"
root=$(readlink -f "$1"); shift
cd "$root" || exit
${text}`;

/** For what changes nothing: the machine may not have the folder. */
const question = (text: string): string => `${PRELUDE}
root=$(readlink -f "$1" || echo "$1"); shift
cd "$root" 2>/dev/null || cd /
${text}`;

/**
 * What a machine has. Parameters: root, hex, path of the volume. Input: a small erofs, which is mounted to see whether that works.
 * Output: lines of `diff <digest>`, `form erofs|folder`, `whole`, `part <kind> <bytes>`, `free <bytes>`, `refuse <why>`.
 */
export const EXAMINE = script(`
hex=$1 path=$2
[ ! -r /etc/bakehouse/root ] || sed -n '/^sha256:/s/^/diff /p' /etc/bakehouse/root
why() {
  if [ -L "$path" ]; then [ "$(readlink "$path")" = "$root/current" ] || echo "$path is a link to $(readlink "$path")"
  elif [ -d "$path" ]; then
    if grep -q " $path " /proc/self/mountinfo; then echo "something is mounted at $path"
    elif [ -n "$(ls -A "$path")" ]; then echo "$path is a folder with something in it"; fi
  elif [ -e "$path" ]; then echo "$path is a file"; fi
}
why=$(why); [ -z "$why" ] || echo "refuse $why"
command -v flock >/dev/null || echo "refuse it has no flock (util-linux)"
command -v sha256sum >/dev/null || echo "refuse it has no sha256sum (coreutils)"
if is_whole "$hex"; then echo whole; else
  try=$(mktemp -d "$root/.try-XXXXXX") || refuse "$root cannot be written to"
  cat > "$try/erofs"; mkdir "$try/at"
  if mount -t erofs -o ro,loop,nodev "$try/erofs" "$try/at" 2>/dev/null; then echo form erofs; umount "$try/at"; else echo form folder; fi
  rm -rf "$try"
fi
erofs=releases/$hex.erofs.part
[ -f "$erofs" ] || erofs=releases/$hex.erofs # arrived, and was not looked at yet
echo "part erofs $(size "$erofs")"
echo "part tar $(size "releases/$hex.tar.part")"
stat -f -c '%a %S' . | { read -r blocks bytes; echo "free $((blocks * bytes))"; }
`);

/**
 * Appends its input. Parameters: root, name of the file, how much of it is there already.
 * Output: `part <bytes>`. Ends with 4 when another amount is there (somebody else sent), with 5 when the disk is full: then nothing of it is kept.
 */
export const RECEIVE = script(`
part=releases/$1.part
lock
[ "$(size "$part")" = "$2" ] || { echo "part $(size "$part")"; exit 4; }
cut -d' ' -f5 /proc/self/stat > sender
cat 9>&- >> "$part"; code=$?
rm -f sender
[ $code = 0 ] || { rm -f "$part"; exit 5; }
echo "part $(size "$part")"
`);

/** Throws away what has arrived. Parameters: root, name of the file. */
export const DISCARD = script(`
lock
rm -f "releases/$1.part"
`);

/** Takes what has arrived for the release that it is. Parameters: root, hex, kind, SHA-256 of the file. Ends with 6 when it is something else. */
export const ACCEPT = script(`
hex=$1 kind=$2 sha=$3 part=releases/$1.$2.part
lock
! is_whole "$hex" || exit 0
[ -f "$part" ] || { [ $kind = erofs ] && [ -f "releases/$hex.erofs" ] && mv "releases/$hex.erofs" "$part"; } || exit 6
[ "$(sha256sum < "$part" | cut -d' ' -f1)" = "$sha" ] || { rm -f "$part"; exit 6; }
sync "$part" 2>/dev/null || sync # before it gets the name of what is whole
if [ $kind = erofs ]; then mv "$part" "releases/$hex.erofs" || refuse "$part cannot be renamed"
else
  rm -rf "releases/$hex.new" && mkdir "releases/$hex.new" || refuse "releases/$hex.new cannot be made"
  exact=; ! tar --version 2>/dev/null | grep -q GNU || exact="--numeric-owner --xattrs --xattrs-include=*"
  said=$(tar -xpf "$part" -C "releases/$hex.new" $exact 2>&1) || { rm -rf "releases/$hex.new"; case $said in *"No space"*) rm -f "$part"; exit 5 ;; esac; refuse "tar: $said"; }
  sync
  rm -rf "releases/$hex"; mv "releases/$hex.new" "releases/$hex" && rm -f "$part"
fi
rm -f started # if it is one that is brought again
stamp "$hex"
keep
`);

/** What mounts a release. On its own it is run at boot. */
const MOUNT = `#!/bin/sh
# Mounts what current leads to. Written by Bakehouse.
PATH=$PATH:/usr/sbin:/sbin
cd "$(dirname "$(readlink -f "$0")")" || exit
name=$(readlink current) || exit 0
[ -f "$name.erofs" ] || exit 0 # a plain folder
! grep -q " $PWD/$name " /proc/self/mountinfo || exit 0
exec mount -t erofs -o ro,loop,nodev "$PWD/$name.erofs" "$PWD/$name"
`;

/** Before local-fs.target: whatever waits for its own files finds those of the release, too. */
const unit = (root: string): string => `[Unit]
Description=The release that Bakehouse brought here
DefaultDependencies=no
RequiresMountsFor=${root}
After=systemd-tmpfiles-setup-dev.service local-fs-pre.target
Before=local-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh ${root}/mount-release

[Install]
WantedBy=local-fs.target
`;

/**
 * Makes a release that is whole the one that the machine runs. Parameters: root, hex, path of the volume, entry or nothing.
 * Output: `changed` or `same`. What was before stays or is put back when it refuses. Ends with 7 when the release is not whole (any more).
 */
export const SWITCH = script(`
hex=$1 path=$2 entry=$3
lock
is_whole "$hex" || exit 7
mount_release() {
  file=releases/$1.erofs at=$root/releases/$1
  [ -f "$file" ] || return 0
  [ "$(backing "$at")" != "$root/$file" ] || return 0
  rm -f started # whatever was started before does not see it
  while [ -n "$(backing "$at")" ]; do umount -l "$at" || return; done
  mkdir -p "$at" && mount -t erofs -o ro,loop,nodev "$root/$file" "$at"
}
point() { rm -f "$2.new"; ln -s "$1" "$2.new" && mv -T "$2.new" "$2"; }
write() { [ "$(cat "$1" 2>/dev/null)" = "$2" ] || { printf '%s\\n' "$2" > "$1.new" && mv "$1.new" "$1"; }; }
start() {
  [ -n "$entry" ] && has_systemd || return 0
  systemctl reset-failed "$entry" 2>/dev/null # it counts earlier starts, and refuses one too many
  systemctl restart "$entry" 2>&1
}
said=$(mount_release "$hex" 2>&1) || refuse "$said"
write mount-release "$(cat <<'END'
${MOUNT}END
)" || refuse "$root/mount-release cannot be written"
unit=/etc/systemd/system/bakehouse-release.service
if has_systemd; then
  text=$(sed "s|@root@|$root|" <<'END'
${unit("@root@")}END
)
  if [ "$(cat $unit 2>/dev/null)" != "$text" ]; then
    write $unit "$text" && systemctl daemon-reload || refuse "$unit cannot be written"
  fi
  [ -e /etc/systemd/system/local-fs.target.wants/bakehouse-release.service ] || systemctl enable --quiet bakehouse-release.service || refuse "$unit cannot be enabled"
fi
now=$(readlink current || true)
kept=$(readlink previous || true)
if [ "$now" != "releases/$hex" ]; then
  if [ -n "$now" ]; then point "$now" previous || refuse "previous cannot be written"; fi
  rm -f started
  point "releases/$hex" current || refuse "current cannot be written"
  changed=changed before=$now
else changed=same before=$kept; fi
if [ ! -L "$path" ]; then
  [ ! -d "$path" ] || rmdir "$path" || refuse "$path is in the way"
  mkdir -p "$(dirname "$path")" && ln -s "$root/current" "$path" || refuse "$path cannot be made"
fi
if [ "$(cat started 2>/dev/null)" != "$hex" ]; then
  changed=changed
  if ! said=$(start); then
    if [ -n "$before" ] && mount_release "\${before#releases/}"; then point "$before" current; start >/dev/null; else rm -f current; fi
    if [ -n "$kept" ]; then point "$kept" previous; else rm -f previous; fi
    refuse "$entry cannot be started: $said"
  fi
  write started "$hex"
fi
for file in releases/*; do
  other=$(basename "$file"); other=\${other%%.*}
  [ "releases/$other" != "$(readlink current)" ] && [ "releases/$other" != "$(readlink previous)" ] || continue
  [ ! -d "releases/$other" ] || [ -z "$(backing "$root/releases/$other")" ] || umount "$root/releases/$other" 2>/dev/null || continue # still in use
  rm -rf "releases/$other" "releases/$other.new" "releases/$other.stamp" "releases/$other".*
done
find . -maxdepth 1 -name '.try-*' -mmin +60 -exec rm -rf {} + 2>/dev/null # of what was ended half way
[ $changed = same ] || keep
echo $changed
`);

/**
 * What a machine runs, as the kernel says. Parameters: root, path of the volume or nothing when it is not known.
 * Output: lines of `booted <seconds>`, `diff <digest>`, `runs <hex>` or `odd <why>`, `serving`.
 */
export const MEASURE = question(`
path=$1
while read -r word value _; do [ $word != btime ] || btime=$value; done < /proc/stat
# of a machine that is a container it is process 1 that was started; USER_HZ is 100
read -r line < /proc/1/stat; set -- \${line##*) }; shift 19
echo "booted $((btime + $1 / 100))"
[ ! -r /etc/bakehouse/root ] || sed -n '/^sha256:/s/^/diff /p' /etc/bakehouse/root
measure() {
  at=$(readlink -f "\${path:-current}") || { echo "odd nothing is at \${path:-$root/current}"; return; }
  hex=\${at#"$root/releases/"}
  case $hex in "$at" | */* ) [ -e current ] && echo "odd $path leads to $at and not to the release" || echo "odd it runs no release yet"; return ;; esac
  if [ -f "releases/$hex.erofs" ]; then
    file=$(backing "$at")
    [ -n "$file" ] || { echo "odd the release is not mounted: $root/mount-release mounts it, at boot and now"; return; }
    [ "$file" = "$root/releases/$hex.erofs" ] || { echo "odd $file is mounted at $at"; return; }
  fi
  if is_whole "$hex"; then echo "runs $hex"; else echo "odd the release was changed since it arrived"; fi
}
measure
[ ! -e serving ] || echo serving
`);

/** Whether it is let into traffic. Parameters: root, `yes` or `no`. */
export const MARK_SERVING = script(`
if [ $1 = yes ]; then : > serving; else rm -f serving; fi
`);

/** Connections to a TCP port that are open. Parameters: root, port. Output: how many. */
export const CONNECTIONS = question(`
port=$(printf ':%04X' "$1")
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -c "^ *[0-9]*: [0-9A-F]*$port [0-9A-F:]* 01 "
`);

/** The newest lines of its log. Parameters: root, how many, unit or nothing. */
export const LOGS = question(`
if command -v journalctl >/dev/null; then exec journalctl --no-pager --quiet --output=short-iso --lines="$1" \${2:+--unit="$2"}; fi
for file in /var/log/syslog /var/log/messages; do
  [ -r $file ] || continue
  if [ -n "$2" ]; then grep -F "\${2%.service}" $file | tail -n "$1"; else tail -n "$1" $file; fi
  exit
done
refuse "it has neither journalctl nor /var/log/syslog nor /var/log/messages"
`);

/** A program of the recipe. Parameters: its words. 255 is ssh's own. */
export const PROGRAM = `"$@"; code=$?; [ $code != 255 ] || code=254; exit $code`;
