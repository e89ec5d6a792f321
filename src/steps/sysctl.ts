import { z } from "zod";
import { defineStep } from "../core/step.ts";
import { matching, scalar } from "./lib/options.ts";
import { writeFileAtLaunch } from "./lib/shell.ts";
import { inImage } from "./lib/step-error.ts";

/** `net.ipv4.ip_forward`, `net/ipv4/conf/eth0.100/rp_filter`, and globs as sysctl.d(5) has them; `-` in front ignores errors. */
const KEY = /^-?[A-Za-z0-9_]+(?:[./][A-Za-z0-9_*?[\]@:-]+)+$/;
const key = () => z.string().regex(KEY, "is no kernel setting: write it as net.ipv4.ip_forward");
const value = () =>
  scalar()
    .refine((text) => !/[\n\r]/.test(String(text)), "a setting has no line break in it")
    .describe("Value of the setting");
const settings = () => z.record(key(), value()).refine((record) => Object.keys(record).length > 0, "names no setting");

const full = z.strictObject({
  settings: settings().describe("Kernel settings by name"),
  name: matching(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "is no file name of letters, digits, dots and hyphens")
    .optional()
    .describe(
      "Name of the file in /etc/sysctl.d: hardening is 60-hardening.conf, 90-shop is 90-shop.conf; absent: <layer>-<step>. Read in the order of names, the last one wins",
    ),
});
const options = z.union([full, settings().describe("Kernel settings by name")]);

type Options = z.output<typeof options>;

/** Sets kernel parameters for every start of the machine. */
export const sysctl = defineStep({
  id: "sysctl",
  version: 1,
  role: "provision",
  summary: "Set kernel parameters",
  description: `Writes the settings to a file in \`/etc/sysctl.d\`, which systemd-sysctl reads at every start. Nothing is set on the machine that bakes.
Names are checked for their form; whether the kernel knows them shows when the image is started. \`true\` and \`false\` are written as 1 and 0.`,
  examples: [
    `- sysctl:
    net.ipv4.conf.all.rp_filter: 1
    kernel.kptr_restrict: 2`,
    `- sysctl:
    name: 90-shop
    settings: { vm.swappiness: 10, net.core.somaxconn: "{{backlog}}" }`,
  ],
  options,
  needs: ["root"],
  async run({ root, address, options: value }) {
    inImage(address, () => root.write(fileOf(value, address), contentOf(value)));
  },
  atLaunch: (value, { address }) => ({
    script: `${writeFileAtLaunch(fileOf(value, address), contentOf(value))}\nsysctl --quiet --load ${fileOf(value, address)} || true`,
  }),
});

const isFull = (value: Options): value is z.output<typeof full> => "settings" in value && typeof value["settings"] === "object";

/** 60: after what packages bring (10 to 50), before what an administrator adds by hand (99). */
const fileOf = (value: Options, address: string): string => {
  const name = ((isFull(value) ? value.name : undefined) ?? address.replaceAll("/", "-")).replace(/\.conf$/, "");
  return `/etc/sysctl.d/${/^\d/.test(name) ? name : `60-${name}`}.conf`;
};

function contentOf(value: Options): string {
  const record = isFull(value) ? value.settings : value;
  return Object.entries(record)
    .map(([name, content]) => `${name} = ${typeof content === "boolean" ? Number(content) : String(content)}\n`)
    .join("");
}
