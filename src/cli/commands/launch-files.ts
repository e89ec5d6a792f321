import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { hexOf, shortDigest } from "../../core/digest.ts";
import { type LAUNCH_SETTINGS } from "../../core/launch/launch-script.ts";
import { defineCommand } from "../command.ts";
import { IMAGE_ARGUMENT, withImages } from "../images/with-images.ts";

export const command = defineCommand({
  name: "launch-files",
  summary: "Write what machines are given at launch: user-data and payload",
  description: `For recipes with \`cake: software\` or \`cake: boot\`, whose upper layers are not baked. The folder gets

- \`user-data\`, \`meta-data\`: for cloud-init. The folder is a seed of its NoCloud data source as it is.
- \`<SHA-256>.tar\`: the payload. Put it where machines can fetch it, and say where with --payload-url.
- \`launch.sh\`, \`launch.env\`: the same script and settings, for systemd credentials (\`bakehouse.launch\`, \`bakehouse.settings\`) or to look at.

Nothing stored says where the payload or a mirror is: that is filled in here, or later with an editor.`,
  arguments: { image: IMAGE_ARGUMENT },
  options: {
    output: { short: "o", value: "folder", default: "launch", summary: "Where to write", completes: "directory" },
    payloadUrl: { value: "url", summary: "Where machines find the payload; an address that ends with / gets its name behind it" },
    mirror: { value: "url", summary: "Debian mirror for machines that install packages (cake: boot)" },
    securityMirror: { value: "url", summary: "Mirror of Debian's security updates for them" },
    suites: { value: "names", summary: "Suites of the mirror, if not just the machine's own release" },
    components: { value: "names", summary: "Components of the mirror, if not just main" },
  },
  examples: [
    {
      line: "launch-files three-cakes-software --payload-url http://files.example/payloads/",
      does: "For machines that fetch the app at launch",
    },
    {
      line: "launch-files three-cakes-boot -o seed --payload-url http://files.example/ --mirror http://mirror.example/debian",
      does: "For machines that do everything at launch",
    },
  ],
  run: async ({ args, options, global, terminal, folder }) => {
    const { launchFiles } = await import("../../engine/launch-files.ts");
    const { writeLaunchFiles } = await import("../../adapters/launch-payload/index.ts");
    const settings = {
      BAKEHOUSE_PAYLOAD_URL: options.payloadUrl,
      BAKEHOUSE_MIRROR: options.mirror,
      BAKEHOUSE_SECURITY_MIRROR: options.securityMirror,
      BAKEHOUSE_SUITES: options.suites,
      BAKEHOUSE_COMPONENTS: options.components,
    } satisfies Record<keyof typeof LAUNCH_SETTINGS, string | undefined>;
    const given = Object.fromEntries(Object.entries(settings).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
    return withImages({ global, terminal }, async ({ store }) => {
      const { files, ...about } = launchFiles(store, args.image, given, (blob) => readFileSync(store.blobs.path(blob), "utf8"));
      const written = writeLaunchFiles(
        resolve(folder, options.output),
        files.map(({ name, mode, content }) => ({
          name,
          mode,
          content: typeof content === "string" ? content : { file: store.blobs.path(content.blob) },
        })),
      );
      return {
        ...about,
        folder: resolve(folder, options.output),
        files: written.map((path) => basename(path)),
        settings: Object.keys(given),
      };
    });
  },
  render: ({ name, root, payload, files, settings }, { options, terminal }) => {
    const { bold, dim } = terminal.colors;
    const serve =
      payload === undefined || settings.includes("BAKEHOUSE_PAYLOAD_URL")
        ? []
        : [`Serve ${hexOf(payload)}.tar somewhere, and say where: --payload-url`];
    const start = `Start machines from ${root.name} ${dim(shortDigest(root.digest))} with ${options.output}/user-data`;
    return [`${bold(name)} in ${options.output}:`, ...files.map((file) => `  ${file}`), ...serve, start, ""].join("\n");
  },
});
