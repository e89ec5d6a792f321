import { shortDigest } from "../../core/digest.ts";
import type { ImageBranch } from "../../engine/image-tree.ts";
import { defineCommand } from "../command.ts";
import { formatAge } from "../images/words.ts";
import { refuseOtherThanStore, storeExists, withImages } from "../images/with-images.ts";
import type { Terminal } from "../terminal.ts";
import { fit } from "../text.ts";

export const command = defineCommand({
  name: "image tree",
  summary: "Show which image was baked onto which",
  options: { all: { short: "a", summary: "Also images whose name has moved on to a newer one" } },
  examples: [{ line: "image tree", does: "From the foundations to the releases" }],
  run: async ({ options, global, terminal }) => {
    if (!storeExists(global.store)) {
      refuseOtherThanStore(global.store);
      return { images: [] };
    }
    const { imageTree } = await import("../../engine/image-tree.ts");
    return withImages({ global, terminal }, async (parts) => ({ images: imageTree(parts, options) }));
  },
  render: ({ images }, { terminal, global }) => {
    if (images.length === 0) return `No images in ${global.store} yet. bakehouse bake makes some.\n`;
    return `${images.flatMap((root) => lines(root, "", "", terminal)).join("\n")}\n`;
  },
});

function lines(branch: ImageBranch, first: string, rest: string, terminal: Terminal): readonly string[] {
  const { dim, green, red, yellow } = terminal.colors;
  const marks = [
    branch.kind === "image" ? "" : dim(` ${branch.kind}`),
    branch.current ? "" : dim(" (older)"),
    ...(branch.channels ?? []).map((channel) => green(` @${channel}`)),
    branch.revoked === undefined ? "" : red(` REVOKED: ${branch.revoked}`),
    branch.hermetic ? "" : red(" NOT HERMETIC"),
    branch.missingParent === undefined ? "" : yellow(` onto ${shortDigest(branch.missingParent)}, which is not in this store`),
  ].join("");
  const line = `${dim(first)}${branch.name} ${dim(`${shortDigest(branch.digest)}, ${formatAge(branch.bakedAt)}`)}${marks}`;
  const below = branch.children.flatMap((child, index) => {
    const last = index === branch.children.length - 1;
    return lines(child, `${rest}${last ? "└─ " : "├─ "}`, `${rest}${last ? "   " : "│  "}`, terminal);
  });
  return [fit(line, terminal.columns), ...below];
}
