import { VERSION } from "../../core/version.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  name: "version",
  summary: "Show the versions of Bakehouse and what it runs on",
  examples: [{ line: "version --json", does: "The versions for a bug report" }],
  run: async () => {
    const { release } = await import("node:os");
    return { bakehouse: VERSION, node: process.versions.node, kernel: release(), platform: `${process.platform}-${process.arch}` };
  },
  render: ({ bakehouse, node, kernel, platform }) => `bakehouse ${bakehouse}\nnode ${node}\nkernel ${kernel}\nplatform ${platform}\n`,
});
