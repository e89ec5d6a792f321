import { z } from "zod";
import { defineStep } from "../step.ts";

const SERVICE = "bakehouse-launch.service";
const UNIT = `/usr/lib/systemd/system/${SERVICE}`;
const PROGRAM = "/usr/lib/bakehouse/launch";

/**
 * Looks for what this machine was given, in this order:
 *
 *     /etc/bakehouse/launch.sh      written by cloud-init from the user-data, with launch.env beside it
 *     bakehouse.launch              a systemd credential with the same script, from the hypervisor or container manager;
 *                                   bakehouse.settings is its launch.env
 */
const PROGRAM_TEXT = `#!/bin/sh
# Starts what this machine was given to run. The image holds no more of it than this.
set -eu
script=/etc/bakehouse/launch.sh
settings=/etc/bakehouse/launch.env
credentials=\${CREDENTIALS_DIRECTORY:-/nonexistent}
[ -r "$script" ] || script=$credentials/bakehouse.launch
[ ! -r "$credentials/bakehouse.settings" ] || settings=$credentials/bakehouse.settings
if [ ! -r "$script" ]; then
  echo "bakehouse: this machine was given nothing to run: neither /etc/bakehouse/launch.sh (user-data) nor the credential bakehouse.launch" >&2
  exit 1
fi
export BAKEHOUSE_SETTINGS="$settings"
exec /bin/sh "$script"
`;

const unitText = (before: readonly string[]): string => `[Unit]
Description=Fetch and install what this machine runs
Documentation=man:cloud-init(1)
Wants=network-online.target
After=network-online.target cloud-init.service
${before.map((unit) => `Before=${unit}\n`).join("")}
[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=30min
LoadCredential=bakehouse.launch
LoadCredential=bakehouse.settings
ExecStart=${PROGRAM}

[Install]
WantedBy=multi-user.target
`;

/**
 * What `cake: software` bakes into the image below the launched layers: a unit that runs before the app does. It is the
 * same for every release, so that a new release leaves the image as it is. Not a step that a recipe can name.
 */
export const launchHook = defineStep({
  id: "launch-hook",
  version: 1,
  role: "provision",
  summary: "Unit that fetches the app at launch",
  description: "Added by `cake: software`.",
  examples: [],
  options: z.strictObject({ before: z.array(z.string()) }),
  needs: ["root"],
  async run({ root, options: { before } }) {
    root.write(PROGRAM, PROGRAM_TEXT, { mode: 0o755 });
    root.write(UNIT, unitText(before), { mode: 0o644 });
    // An app that must not start without its code requires the unit; whoever else waits for it only wants it.
    for (const folder of ["multi-user.target.wants", ...before.map((unit) => `${unit}.requires`)])
      root.symlink(`/etc/systemd/system/${folder}/${SERVICE}`, UNIT);
  },
});
