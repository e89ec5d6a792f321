import type { CpioEntry } from "./cpio.ts";
import { reseedProgram } from "./reseed.ts";

/**
 * What a machine of a fleet has in its `/run` beside the trims, so that it can be snapshotted before anything of the image has started,
 * become somebody, and run programs for this host. Not a byte of the image is changed.
 *
 *     /run/bakehouse/busybox                the programs that the scripts need
 *     /run/bakehouse/agent run              listen on serial lines; run one program
 *     /run/bakehouse/become                 gives a machine that goes on from a snapshot its own identity, and opens the gate
 *     /run/bakehouse/gate                   a FIFO: basic.target, and so every service of the image, waits until it is opened
 *
 * A line of a serial port has one word, the id of a run, and what belongs to it. Content is base64 of at most 2,048 bytes.
 *
 *     to the machine     R <id> t|- <command>    run it, with or without a terminal; whatever ran on this line is ended
 *                        I <id> <content>        its standard input; the next one only after `A`
 *                        Z <id>                  the end of that
 *                        K <id>                  end it
 *     from the machine   S <id>                  it runs
 *                        A <id>                  its input was taken
 *                        O|E <id> <content>      standard output and error
 *                        X <id> <exit code>      it has ended
 */
const FOLDER = "/run/bakehouse";
const BUSYBOX = `${FOLDER}/busybox`;

/** Serial ports that the agent listens on: one of the board, which every kernel has, and two of a PCI card. */
export const AGENT_LINES = ["ttyS1", "ttyS2", "ttyS3"] as const;

/** The gate says so on the console when everything before it has been done: the moment for a snapshot. */
export const GATE_REACHED = /^bakehouse: at the gate$/m;

// The line stays open as descriptor 3: a session that opened it itself would hang it up when it ends.
const AGENT = `b=${BUSYBOX}
dir=${FOLDER}/$1
$b rm -rf "$dir"
$b mkdir -p "$dir"
exec 3<>"/dev/$1" || exit 1
$b stty -F "/dev/$1" raw -echo || exit 1
group= id=
end() {
  if [ -n "$group" ] && $b grep -q bakehouse/run "/proc/$group/cmdline" 2>/dev/null; then kill -KILL "-$group"; fi
  group=
}
: >"$dir/ready"
while read -r word of rest <&3; do
  case $word in
    R)
      end
      id=$of
      $b rm -rf "$dir/run"
      $b mkdir "$dir/run"
      $b mkfifo "$dir/run/feed"
      exec 4<>"$dir/run/feed"
      $b setsid $b sh ${FOLDER}/run "$dir/run" "$id" $rest 4<&- &
      group=$!
      echo "S $id" >&3
      ;;
    I) [ "$of" = "$id" ] && echo "$rest" | $b base64 -d >"$dir/run/next" && echo next >&4 ;;
    Z) [ "$of" = "$id" ] && echo end >&4 ;;
    K) [ "$of" = "$id" ] && end ;;
  esac
done
`;

// Pipes alone: to open a FIFO waits for the other side, and ash gives up waiting when a child of it ends meanwhile. The agent has `feed` open.
const RUN = `b=${BUSYBOX}
dir=$1 id=$2 mode=$3
command=$(echo "$4" | $b base64 -d)
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /
feed() {
  while read -r word && [ "$word" = next ]; do
    $b cat "$dir/next" && echo "A $id" >&3
  done <"$dir/feed"
}
pump() {
  while chunk=$($b dd bs=1500 count=1 2>/dev/null | $b base64 | $b tr -d '\\n') && [ -n "$chunk" ]; do echo "$1 $id $chunk" >&3; done
}
program() {
  if [ "$mode" = t ] && [ -x /usr/bin/script ]; then script -qefc "$command" /dev/null; else /bin/sh -c "$command"; fi 3>&- 5>&-
  echo $? >"$dir/code"
  echo end >"$dir/feed"
}
{ { feed | program; } 2>&1 >&5 | pump E; } 5>&1 | pump O
echo "X $id $($b cat "$dir/code")" >&3
`;

/** Longer than DHCP took on a busy host without KVM (measured: below 1 s). Without a network a machine starts, too. */
const ROUTE_TENTHS = 100;

const GATE = `b=${BUSYBOX}
$b mkfifo ${FOLDER}/gate
for line in ${AGENT_LINES.join(" ")}; do
  until [ -e ${FOLDER}/$line/ready ]; do $b sleep 0.1; done
done
tries=0
until $b grep -q "	00000000	" /proc/net/route || [ $tries = ${ROUTE_TENTHS} ]; do
  tries=$((tries + 1))
  $b sleep 0.1
done
echo "bakehouse: at the gate"
read -r word <${FOLDER}/gate
`;

/**
 * Arguments: name, machine id, seconds since 1970. Standard input, all content in base64:
 *
 *     R <bytes for the random number generator>
 *     F <path> <content>      a file; only root reads it
 *     C <name> <content>      a credential
 *     E <NAME=value>          what every service has in its environment
 *     G                       that was all: open the gate
 *
 * systemd looks for credentials in /run/credstore (systemd.exec(5), LoadCredential=). The journal's folder is called as the machine id.
 */
const BECOME = `set -e
b=${BUSYBOX}
[ ! -e ${FOLDER}/opened ]
$b date -u -s "@$3" >/dev/null
echo "$1" >/proc/sys/kernel/hostname
echo "$1" >/etc/hostname
$b umount /etc/machine-id 2>/dev/null || :
echo "$2" >/etc/machine-id
if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then echo "$2" >/var/lib/dbus/machine-id; fi
decoded() { echo "$1" | $b base64 -d; }
reseeded= reload=
umask 077
while read -r word first second; do
  case $word in
    R)
      decoded "$first" | ${FOLDER}/reseed
      reseeded=yes
      ;;
    F)
      path=$(decoded "$first")
      (umask 022 && $b mkdir -p "\${path%/*}/")
      decoded "$second" >"$path"
      case $path in /etc/systemd/*) reload=yes ;; esac
      ;;
    C)
      $b mkdir -p /run/credstore
      decoded "$second" >"/run/credstore/$first"
      ;;
    E) systemctl set-environment "$(decoded "$first")" ;;
    G)
      [ -n "$reseeded" ]
      systemctl restart systemd-journald.service
      [ -z "$reload" ] || systemctl daemon-reload
      : >${FOLDER}/opened
      echo open >${FOLDER}/gate
      exit 0
      ;;
  esac
done
exit 1
`;

const AGENT_UNIT = `[Unit]
Description=Runs programs for the host of this machine
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target

[Service]
ExecStart=${BUSYBOX} sh ${FOLDER}/agent %i
Restart=always
RestartSec=1
OOMScoreAdjust=-900
`;

const GATE_UNIT = `[Unit]
Description=Waits until this machine is somebody
DefaultDependencies=no
After=sysinit.target systemd-networkd.service networking.service
Before=basic.target sockets.target timers.target paths.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=infinity
StandardOutput=file:/dev/ttyS0
ExecStart=${BUSYBOX} sh ${FOLDER}/atgate
`;

/** Command that makes a machine at the gate somebody. */
export const becomeCommand = (name: string, machineId: string, epochSeconds: number): readonly string[] => [
  BUSYBOX,
  "sh",
  `${FOLDER}/become`,
  name,
  machineId,
  String(epochSeconds),
];

/** @param busybox  a static one for x86-64 @returns entries below `/run`, without the folders that they lie in */
export const guestAgent = (busybox: Uint8Array): readonly CpioEntry[] => [
  { path: "bakehouse/busybox", kind: "file", mode: 0o755, content: busybox },
  { path: "bakehouse/reseed", kind: "file", mode: 0o755, content: reseedProgram() },
  { path: "bakehouse/agent", kind: "file", content: AGENT },
  { path: "bakehouse/run", kind: "file", content: RUN },
  { path: "bakehouse/atgate", kind: "file", content: GATE },
  { path: "bakehouse/become", kind: "file", content: BECOME },
  { path: "systemd/system/bakehouse-agent@.service", kind: "file", content: AGENT_UNIT },
  { path: "systemd/system/bakehouse-gate.service", kind: "file", content: GATE_UNIT },
  { path: "systemd/system/basic.target.requires/bakehouse-gate.service", kind: "symlink", target: "../bakehouse-gate.service" },
  ...AGENT_LINES.map((line): CpioEntry => ({
    path: `systemd/system/sysinit.target.wants/bakehouse-agent@${line}.service`,
    kind: "symlink",
    target: "../bakehouse-agent@.service",
  })),
];
