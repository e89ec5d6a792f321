import { z } from "zod";
import { defineStep } from "../core/step.ts";
import { installPackages } from "./lib/dpkg-install.ts";
import { fromRelease, packageNames, preseed, suiteName } from "./lib/package-options.ts";
import { heredoc, words } from "./lib/shell.ts";

const settings = z.strictObject({
  packages: packageNames().describe("Packages: name, name=version, name/suite, or name- to leave one out that another would bring"),
  recommends: z.boolean().optional().describe("Install what the packages recommend as well, false if absent"),
  release: suiteName()
    .optional()
    .describe("Suite to take the packages from, such as bookworm-backports; their dependencies come from it only where they have to"),
  debconf: preseed().optional().describe('Answers to questions that packages ask, each as "package question type value"'),
});

const options = z.union([packageNames().describe("Packages"), settings]);
type Options = z.output<typeof options>;

const settingsOf = (value: Options): z.output<typeof settings> => (Array.isArray(value) ? { packages: value } : value);

/** Installs packages of Debian and of the recipe's own repositories. */
export const apt = defineStep({
  id: "apt",
  version: 1,
  role: "provision",
  summary: "Install Debian packages",
  description: `Installs packages, with everything they depend on, in the versions that \`bakehouse.lock\` names.

- \`bakehouse lock\` decides on the versions, on the host, with what the layers below have. The bake itself runs neither apt nor a download: dpkg installs verified
  files, once for all packages of the step. \`bakehouse lock --update\` moves to newer versions.
- Nothing recommended is installed unless \`recommends: true\`.
- Packages come from the foundation's suite and from the recipe's \`repositories\`. A package from another suite is named \`name/suite\`; \`release\` does it for all.
- Services are not started (\`policy-rc.d\`), conffiles that an earlier step has changed stay as they are.
- **No ssh host keys**: openssh-server makes none here, since every machine of the image would share them. Something has to make them at the first
  boot: cloud-init does, or a unit that runs \`ssh-keygen -A\`.`,
  examples: [
    `- apt: [curl, jq]`,
    `- apt:
    packages: [openssh-server, chrony, exim4-daemon-light-]
    recommends: true`,
    `- apt:
    packages: [linux-image-cloud-amd64]
    release: bookworm-backports`,
    `- apt:
    packages: [tzdata]
    debconf:
      - tzdata tzdata/Areas select Europe
      - tzdata tzdata/Zones/Europe select Vienna`,
  ],
  options,
  needs: ["root", "sandbox", "packages", "installer"],
  requires: (value) => {
    const { packages, release, recommends } = settingsOf(value);
    return { packages: { names: fromRelease(packages, release), recommends: recommends ?? false } };
  },
  run: (context) => installPackages(context, settingsOf(context.options).debconf),
  atLaunch: (value) => {
    const { packages, release, recommends, debconf } = settingsOf(value);
    const answers = debconf === undefined ? [] : [heredoc("debconf-set-selections", `${debconf.join("\n")}\n`)];
    const install = words(
      "apt-get",
      "install",
      "--yes",
      ...(recommends === true ? [] : ["--no-install-recommends"]),
      "--",
      ...fromRelease(packages, release),
    );
    return { script: ["export DEBIAN_FRONTEND=noninteractive", "apt-get update", ...answers, install].join("\n") };
  },
});
