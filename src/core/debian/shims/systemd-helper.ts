import type { Shim } from "./shim.ts";

/**
 * deb-systemd-helper for what debhelper's scripts ask when a unit is installed for the first time. Anything that its
 * tests do not know (other verbs, other options, `Also=`, `Alias=`, quoted values, systemctl present, state from before)
 * goes to the real one.
 *
 * State, as in the original: `<enabled>/<unit>.dsh-also` names the unit's links, one a line; `<enabled>/<target>.wants/<unit>`
 * is an empty file that stands for each link made.
 */
export const SYSTEMD_HELPER: Shim = {
  name: "deb-systemd-helper",
  purpose: "speed",
  reason: "The real one is Perl and takes 15–30 ms; a minbase calls it 18 times. This one does the same to a fresh unit in the shell.",
  // init-system-helpers 1.65.2 (bookworm) and 1.69 (trixie)
  replaces: { path: "/usr/bin/deb-systemd-helper", sha256: "a895d5f077651960b6ca4ed9c53f8b36eae422ae170f61c972d0c6579e9f8732" },
  script: `#!/bin/sh
set -f
quiet=
[ "$1" != --quiet ] || { quiet=--quiet; shift; }
original() { exec /usr/bin/deb-systemd-helper $quiet "$verb" "$unit"; }
[ $# -eq 2 ] && [ -n "$DPKG_MAINTSCRIPT_PACKAGE" ] && [ -z "$DPKG_ROOT$_DEB_SYSTEMD_HELPER_PURGE$_DEB_SYSTEMD_HELPER_DEBUG" ] || exec /usr/bin/deb-systemd-helper $quiet "$@"
verb=$1 unit=$2
case "$unit" in "" | -* | *[!A-Za-z0-9_.@:\\\\-]*) original ;; esac

system=/etc/systemd/system
states=/var/lib/systemd
enabled=$states/deb-systemd-helper-enabled
state=$enabled/$unit.dsh-also

# Sets dest, and links: a link to make or to note on each line.
read_unit() {
  if [ -f "$system/$unit" ]; then dest=$system/$unit
  elif [ -f "/lib/systemd/system/$unit" ]; then dest=/lib/systemd/system/$unit
  elif [ -f "/usr/lib/systemd/system/$unit" ]; then dest=/usr/lib/systemd/system/$unit
  else original; fi
  links=
  while IFS= read -r line || [ -n "$line" ]; do
    case "$line" in
    *[Aa][Ll][Ss][Oo]=* | *[Aa][Ll][Ii][Aa][Ss]=* | *[Dd][Ee][Ff][Aa][Uu][Ll][Tt][Ii][Nn][Ss][Tt][Aa][Nn][Cc][Ee]=*) original ;;
    WantedBy=*) add_links wants "\${line#WantedBy=}" ;;
    RequiredBy=*) add_links requires "\${line#RequiredBy=}" ;;
    *[Ww][Aa][Nn][Tt][Ee][Dd][Bb][Yy]=* | *[Rr][Ee][Qq][Uu][Ii][Rr][Ee][Dd][Bb][Yy]=*) original ;;
    esac
  done < "$dest"
}

add_links() {
  case "$2" in " "* | *[!A-Za-z0-9_.@:\\ -]*) original ;; esac
  for target in $2; do
    case "$links" in *"/$target.$1/"*) original ;; esac
    links="$links$system/$target.$1/$unit
"
  done
}

case "$verb" in
unmask)
  [ ! -e "$system/$unit" ] && [ ! -d $states/deb-systemd-helper-masked ] && [ ! -d $states/deb-systemd-user-helper-masked ] || original ;;
was-enabled)
  [ -n "$quiet" ] || original
  [ -f "$state" ] || exit 0
  while IFS= read -r link; do [ -h "$link" ] || exit 1; done < "$state" ;;
debian-installed)
  [ -f "$state" ] || exit 1 ;;
update-state)
  read_unit
  [ -d $enabled ] || mkdir -p $enabled || exit 1
  printf %s "$links" > "$state" ;;
enable)
  [ ! -x /bin/systemctl ] && [ ! -x /usr/bin/systemctl ] && [ ! -e "$state" ] || original
  read_unit
  IFS="
"
  folders=
  for link in $links; do
    mark=$enabled\${link#$system}
    [ ! -e "$link" ] && [ ! -h "$link" ] && [ ! -e "$mark" ] || original
    folders="$folders\${link%/*}
\${mark%/*}
"
  done
  [ -n "$links" ] || exit 0
  mkdir -p $folders || exit 1
  printf %s "$links" > "$state"
  for link in $links; do
    ln -s "$dest" "$link" || exit 1
    : > "$enabled\${link#$system}"
  done ;;
*) original ;;
esac
exit 0
`,
};
