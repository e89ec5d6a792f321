import { z } from "zod";
import { defineStep } from "../core/step.ts";
import { installPackages } from "./lib/dpkg-install.ts";
import { listOf, recipePath } from "./lib/options.ts";
import { preseed } from "./lib/package-options.ts";
import { payloadPath } from "./lib/shell.ts";

const debFile = () => recipePath().refine((path) => path.endsWith(".deb"), "name a file that ends in .deb");

const settings = z.strictObject({
  files: z.array(debFile()).min(1, "name at least one file").describe("Package files of the recipe's folder"),
  recommends: z.boolean().optional().describe("Install what the packages recommend as well, false if absent"),
  debconf: preseed().optional().describe('Answers to questions that packages ask, each as "package question type value"'),
});

const options = z.union([
  debFile().describe("A package file"),
  z.array(debFile()).min(1, "name at least one file").describe("Package files"),
  settings,
]);
type Options = z.output<typeof options>;

const settingsOf = (value: Options): z.output<typeof settings> =>
  typeof value === "string" || Array.isArray(value) ? { files: [...listOf(value)] } : value;

/** Installs package files that lie beside the recipe. */
export const deb = defineStep({
  id: "deb",
  version: 1,
  role: "provision",
  summary: "Install .deb files of the recipe's folder",
  description: `Installs \`.deb\` files that lie beside the recipe, with everything they depend on: other files of the same step, what the layers below have, and
packages of the foundation's suite and the recipe's \`repositories\`, resolved by \`bakehouse lock\` as for the \`apt\` step.

The lock names the files by SHA-256. A file that changes makes it stale: \`bakehouse lock\` looks at the new one.`,
  examples: [
    `- deb: packages/shop-agent_1.4_amd64.deb`,
    `- deb:\n    files: [vendor/agent.deb, vendor/agent-plugins.deb]\n    debconf: ["agent agent/token-file string /etc/agent/token"]`,
  ],
  options,
  needs: ["root", "sandbox", "packages", "installer"],
  requires: (value) => {
    const { files, recommends } = settingsOf(value);
    return { files: files.map((path) => ({ path, kind: "file" })), packages: { names: [], recommends: recommends ?? false, files } };
  },
  run: (context) => installPackages(context, settingsOf(context.options).debconf),
  atLaunch: (value) => {
    const { files, recommends } = settingsOf(value);
    const flags = recommends === true ? "" : " --no-install-recommends";
    return {
      script: `export DEBIAN_FRONTEND=noninteractive\napt-get update\napt-get install --yes${flags} -- ${files.map((path) => payloadPath(path)).join(" ")}`,
      payload: files.map((path) => ({ path })),
    };
  },
});
