import type { CpioEntry } from "./cpio.ts";

const UNIT = "bakehouse-readiness.service";
const WORD = "bakehouse:";

/**
 * A unit for `/run` of a machine that says on its serial console when everything has been started, what has failed, and how
 * the units that somebody waits for are. It starts after them and after the default target, so it holds nothing up.
 */
export function readinessUnit(units: readonly string[]): readonly CpioEntry[] {
  const states = units.map((unit) => `echo "${WORD} ${unit} $(systemctl is-active ${unit})"; `).join("");
  const content = `[Unit]
Description=Tells the serial console how the start went
DefaultDependencies=no
After=multi-user.target ${units.join(" ")}

[Service]
Type=oneshot
StandardOutput=file:/dev/ttyS0
ExecStart=/bin/sh -c '${states}systemctl --failed --plain --no-legend | while read -r unit rest; do echo "${WORD} $unit failed"; done; echo "${WORD} started"'
`;
  return [
    { path: `systemd/system/${UNIT}`, kind: "file", content: content.replaceAll("%", "%%") },
    { path: `systemd/system/multi-user.target.wants/${UNIT}`, kind: "symlink", target: `../${UNIT}` },
  ];
}

/** What the readiness unit has said; undefined while it has not. */
export function readinessIn(
  serial: string,
): { readonly units: ReadonlyMap<string, string>; readonly failed: readonly string[] } | undefined {
  const said = [...serial.matchAll(/^bakehouse: (\S+)(?: (\S+))?$/gm)].map(([, unit = "", state = ""]) => [unit, state] as const);
  if (!said.some(([unit, state]) => unit === "started" && state === "")) return undefined;
  const units = new Map(said.filter(([, state]) => state !== ""));
  return { units, failed: [...units].filter(([, state]) => state === "failed").map(([unit]) => unit) };
}

/** How a start ends that goes nowhere: the kernel or systemd says it is over. */
const HOPELESS: readonly RegExp[] = [
  /Kernel panic - not syncing: .*/,
  /^bakehouse: (?:there is no disk|the command line names|.* cannot be mounted).*/m,
  /(?:Freezing execution|Entering emergency mode|You are in emergency mode).*/,
  /^BdsDxe: No bootable option or device was found.*/m,
  /^grub rescue>/m,
];

/** The line of a serial console that says that the machine will not come up any more. */
export function hopelessIn(serial: string): string | undefined {
  for (const pattern of HOPELESS) {
    const found = pattern.exec(serial)?.[0];
    if (found !== undefined) return found.trim();
  }
  return undefined;
}
