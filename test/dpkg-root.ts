import { execFileSync } from "node:child_process";
import { once, tinyRoot } from "./shared-store.ts";

/** What dpkg calls, and it itself. */
const PROGRAMS = [
  "dpkg",
  "dpkg-deb",
  "dpkg-query",
  "dpkg-split",
  "dpkg-divert",
  "dpkg-statoverride",
  "dpkg-trigger",
  "diff",
  "ldconfig",
  "start-stop-daemon",
];

/** The tiny system with a dpkg that knows of no package: for recipes that install packages of a repository of the test's own. */
export const dpkgRoot = (): Promise<string> =>
  once("dpkg-root.tar", async (target) => {
    const script = `umask 022; mkdir -p "$2"; tar -xf "$1" -C "$2"; cd "$2"; target=$3; shift 3
mkdir -p var/lib/dpkg/info var/lib/dpkg/updates var/lib/dpkg/triggers var/lib/dpkg/parts var/lib/dpkg/alternatives etc/dpkg/dpkg.cfg.d
: > var/lib/dpkg/status; : > var/lib/dpkg/available; : > var/lib/dpkg/diversions; : > var/lib/dpkg/statoverride
for program; do for folder in /usr/bin /usr/sbin /bin /sbin; do file=$folder/$program; [ -x "$file" ] || continue
  file=$(readlink -f "$file"); cp "$file" "usr/bin/$program"
  for library in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do mkdir -p ".$(dirname "$library")"; [ -e ".$library" ] || cp -L "$library" ".$library"; done
  break; done
done
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000 -cf "$target" .`;
    const tree = `${target}.tree`;
    execFileSync("sh", ["-euc", script, "sh", await tinyRoot(), tree, target, ...PROGRAMS], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    execFileSync("rm", ["-rf", tree]);
  });
