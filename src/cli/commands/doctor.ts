import { FEATURES } from "../../adapters/host-tools/tools.ts";
import { defineCommand } from "../command.ts";
import { doctorText } from "../doctor/render.ts";

export const command = defineCommand({
  name: "doctor",
  summary: "Show what this machine has and lacks for baking",
  description: `Lists every program and kernel feature that Bakehouse uses, with its version, what it is for, and how to get what
is missing. With --install it installs the missing Debian packages (as root). Exit code 3 when something that was asked for is missing.`,
  options: {
    for: { value: "feature", many: true, choices: FEATURES, summary: "What must be there (default core, and all are listed)" },
    install: { summary: "Install what is missing with apt-get" },
  },
  examples: [
    { line: "doctor", does: "What is here, what is missing, what for" },
    { line: "doctor --install --for core --for ansible", does: "Bring what recipes with Ansible steps need" },
  ],
  run: async ({ options, global, terminal }) => {
    const { diagnose } = await import("../doctor/diagnose.ts");
    return await diagnose({
      asked: options.for,
      install: options.install,
      store: global.store,
      onInstall: (packages) => global.quiet || terminal.err(`Installing Debian packages: ${packages.join(" ")} …\n`),
      onLine: (line) => global.verbose && terminal.err(`  ${line}\n`),
    });
  },
  render: (diagnosis, { terminal }) => doctorText(diagnosis, terminal),
  exitCode: ({ ready }) => (ready ? 0 : 3),
});
