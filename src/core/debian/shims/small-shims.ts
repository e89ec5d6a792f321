import type { Shim } from "./shim.ts";

export const SSH_KEYGEN: Shim = {
  name: "ssh-keygen",
  purpose: "safety",
  reason:
    "An image with a host key gives every machine the same secret: keys are made at the first boot, never here. All other uses go to the real program.",
  script: `#!/bin/sh
case " $* " in
*/etc/ssh/ssh_host_* | *" -A "*)
  echo "host keys are not made in an image"
  exit 0 ;;
esac
exec /usr/bin/ssh-keygen "$@"
`,
};

export const START_STOP_DAEMON: Shim = {
  name: "start-stop-daemon",
  purpose: "safety",
  reason: "A package must not start a service while an image is baked; policy-rc.d stops those that ask before.",
  script: `#!/bin/sh
exit 0
`,
};

export const AWK: Shim = {
  name: "awk",
  purpose: "safety",
  reason: "In a new system, scripts may use awk before mawk's configuration has made the link.",
  script: `#!/bin/sh
[ ! -e /usr/bin/awk ] || exec /usr/bin/awk "$@"
exec /usr/bin/mawk "$@"
`,
};

export const SLEEP: Shim = {
  name: "sleep",
  purpose: "speed",
  reason: "libc6 waits a second for an init that is not there.",
  script: `#!/bin/sh
[ "$DPKG_MAINTSCRIPT_PACKAGE" = libc6 ] || exec /usr/bin/sleep "$@"
`,
};

/** dpkg-maintscript-helper(1) and its source: what each helper asks for before it acts. */
export const MAINTSCRIPT_HELPER: Shim = {
  name: "dpkg-maintscript-helper",
  purpose: "speed",
  reason:
    "Its helpers act on upgrades: without an old version (the second word after `--`), or in a postinst without a backup that a preinst has made, they do nothing, and are not started.",
  script: `#!/bin/sh
real=/usr/bin/dpkg-maintscript-helper
path=\${2%/}
case "$DPKG_MAINTSCRIPT_NAME $1" in
"preinst rm_conffile" | "preinst mv_conffile" | "preinst symlink_to_dir" | "preinst dir_to_symlink") ;;
"postinst rm_conffile" | "postinst mv_conffile") ;;
"postinst symlink_to_dir" | "postinst dir_to_symlink")
  [ ! -e "$path.dpkg-backup" ] && [ ! -h "$path.dpkg-backup" ] || exec $real "$@" ;;
*) exec $real "$@" ;;
esac
seen= action= version=
for word in "$@"; do
  case "$seen" in
  "") [ "$word" != -- ] || seen=mark ;;
  mark) action=$word seen=action ;;
  action) version=$word seen=version ;;
  esac
done
[ -n "$action" ] && [ -z "$version" ] || exec $real "$@"
`,
};
