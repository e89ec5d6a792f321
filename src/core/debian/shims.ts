/** A program that stands before the image's own in PATH while dpkg runs, from memory; it never is in the image. */
export interface Shim {
  readonly name: string;
  readonly script: string;
  /** For the documentation: what it does and why the result is the same, or must differ. */
  readonly reason: string;
}

/** Below /run. */
export const SHIM_FOLDER = "bakehouse/bin";

/** An image with a host key gives every machine the same secret. sshd's own unit or cloud-init makes keys at the first boot. */
const SSH_KEYGEN = `#!/bin/sh
case " $* " in
*/etc/ssh/ssh_host_* | *" -A "*)
  echo "bakehouse: host keys are not made in an image"
  exit 0 ;;
esac
exec /usr/bin/ssh-keygen "$@"
`;

/** dpkg-maintscript-helper(1): without an old version (the second word after --) these four do nothing. */
const MAINTSCRIPT_HELPER = `#!/bin/sh
real=/usr/bin/dpkg-maintscript-helper
case "$DPKG_MAINTSCRIPT_NAME $1" in
"preinst rm_conffile" | "preinst mv_conffile" | "preinst symlink_to_dir" | "preinst dir_to_symlink") ;;
"postinst rm_conffile" | "postinst mv_conffile") ;;
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
`;

/** mawk's configuration makes the link, and others' scripts may come before it. */
const AWK = `#!/bin/sh
[ ! -e /usr/bin/awk ] || exec /usr/bin/awk "$@"
exec /usr/bin/mawk "$@"
`;

const START_STOP_DAEMON = `#!/bin/sh
exit 0
`;

export const SHIMS: readonly Shim[] = [
  { name: "ssh-keygen", script: SSH_KEYGEN, reason: "host keys are never made; everything else goes to the real program" },
  { name: "dpkg-maintscript-helper", script: MAINTSCRIPT_HELPER, reason: "what helps upgrades only is skipped at a first installation, where it does nothing" },
  { name: "awk", script: AWK, reason: "scripts may use awk before mawk is configured in a new system" },
  { name: "start-stop-daemon", script: START_STOP_DAEMON, reason: "a package must not start a service while an image is baked" },
];
