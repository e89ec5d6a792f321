import { z } from "zod";
import { defineStep } from "../core/step.ts";
import { addressed } from "./lib/dpkg-install.ts";
import { fromRelease, packageNames } from "./lib/package-options.ts";

const SUITES = ["bookworm", "trixie"] as const;
const suite = () => z.enum(SUITES, { error: () => `write one of ${SUITES.join(", ")}` });

const MIRROR = /^(https?:\/\/[^\s/]+(\/\S*)?|file:\/\/\/\S+)$/;

const settings = z.strictObject({
  suite: suite().describe("Debian release"),
  variant: z
    .enum(["essential", "minbase", "standard"])
    .optional()
    .describe(
      "What to start from: packages marked essential; those and every required one and apt; or also all of priority standard. minbase if absent",
    ),
  components: z
    .array(z.enum(["main", "contrib", "non-free", "non-free-firmware"]))
    .min(1)
    .optional()
    .describe("Parts of the archive, main if absent"),
  include: packageNames().optional().describe("Further packages of the foundation"),
  backports: packageNames().optional().describe("Further packages, taken from the suite's backports"),
  security: z.boolean().optional().describe("Take security updates, true if absent"),
  updates: z.boolean().optional().describe("Take the suite's own updates between point releases, true if absent"),
  mirror: z
    .string()
    .regex(MIRROR, "write an address such as http://mirror/debian or file:///srv/mirror/debian")
    .optional()
    .describe("Archive to ask, for this machine only: it never is in the lock or the image. What the host's apt uses if absent"),
  sources: z
    .string()
    .optional()
    .describe(
      "Text of /etc/apt/sources.list.d/debian.sources in the image, for machines that may install packages later. No file if absent",
    ),
});

const options = z.union([suite().describe("Debian release"), settings]);
type Options = z.output<typeof options>;

const settingsOf = (value: Options): z.output<typeof settings> => (typeof value === "string" ? { suite: value } : value);

/** A Debian system from its packages. */
export const debian = defineStep({
  id: "debian",
  version: 1,
  role: "foundation",
  summary: "Start from a Debian release",
  description: `Installs Debian into an empty root, from the packages that \`bakehouse.lock\` names.

- \`/usr\` is merged. Nothing of the baking host gets in: the host name is \`localhost\`, \`/etc/machine-id\` is empty, \`/etc/fstab\` has no entry, there is no
  \`/etc/resolv.conf\`.
- **No package repository**: the image depends on none, so \`/etc/apt\` names none. \`sources\` writes a file for machines that shall be able to install packages later.
- \`foundation: { builder: mmdebstrap }\` in the recipe makes the same with mmdebstrap, about three times slower; both give the same packages, files and dpkg status,
  and a test holds them to it.`,
  examples: [
    `- debian: bookworm`,
    `- debian:
    suite: trixie
    variant: minbase
    include: [systemd, systemd-sysv, locales]`,
    `- debian:
    suite: bookworm
    components: [main, non-free-firmware]
    backports: [linux-image-cloud-amd64]
    sources: |
      Types: deb
      URIs: file:/srv/packages
      Suites: bookworm
      Components: main
      Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg`,
  ],
  options,
  notInKey: ["mirror"],
  needs: ["root", "sandbox", "packages", "installer"],
  requires: (value) => {
    const { suite: release, variant, components, include, backports, security, updates, mirror } = settingsOf(value);
    return {
      packages: {
        names: [...(include ?? []), ...fromRelease(backports ?? [], `${release}-backports`)],
        recommends: false,
        foundation: {
          suite: release,
          variant: variant ?? "minbase",
          components: components ?? ["main"],
          security: security ?? true,
          updates: updates ?? true,
          ...(mirror === undefined ? {} : { mirror }),
        },
      },
    };
  },
  async run(context) {
    const { root, sandbox, packages, installer, epochSeconds, signal } = context;
    const { suite: release, sources } = settingsOf(context.options);
    await addressed(context.address, () =>
      installer.install({
        suite: release,
        packages: packages.files,
        root,
        sandbox,
        epochSeconds,
        signal,
        log: (line) => context.log(line),
        progress: (message, fraction) => context.progress(fraction === undefined ? { message } : { message, fraction }),
      }),
    );
    if (sources !== undefined) root.write("/etc/apt/sources.list.d/debian.sources", sources.endsWith("\n") ? sources : `${sources}\n`);
  },
});
