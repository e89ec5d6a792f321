import { z } from "zod";
import { BakehouseError } from "../core/errors.ts";
import { defineStep } from "../core/step.ts";
import type { StepContext } from "../core/step.ts";
import { glob, recipePath } from "./lib/options.ts";

const settings = z.strictObject({
  source: recipePath().describe("A tarball (plain, .gz, .xz, .zst) or a folder of the recipe's folder"),
  strip: z.int().min(0).max(20).optional().describe("Leading folders of the tarball's names to drop, 0 if absent"),
  devices: z.boolean().optional().describe("Take device nodes of the tarball as well, false if absent"),
  excludes: z.array(glob()).optional().describe("Globs of a folder that are not taken"),
});

const options = z.union([recipePath().describe("A tarball or a folder"), settings]);
type Options = z.output<typeof options>;

const settingsOf = (value: Options): z.output<typeof settings> => (typeof value === "string" ? { source: value } : value);

/** A foundation from a root file system that somebody else has made. */
export const rootfs = defineStep({
  id: "rootfs",
  version: 1,
  role: "foundation",
  summary: "Start from a root file system: a tarball or a folder",
  description: `Takes a root file system as it is, from a tarball or a folder beside the recipe.

- Names in a tarball that are absolute or lead out (\`../\`, or through a link) are refused, all at once, before anything is written; so are device nodes,
  unless \`devices: true\`. Most machines make /dev by themselves.
- Owners, modes, capabilities and ACLs of a tarball are kept. In a folder everything belongs to root, files are 0644 or 0755 (executable): what a folder says
  beyond that depends on who checked it out. Use a tarball where it matters.
- There must be a usable system in it: at least \`/etc\` or \`/usr\`.`,
  examples: [`- rootfs: vendor/base.tar.xz`, `- rootfs:\n    source: vendor/image.tar.gz\n    strip: 1\n    devices: true`],
  options,
  needs: ["archives", "inputs", "root"],
  requires: (value) => {
    const { source, excludes } = settingsOf(value);
    return { files: [{ path: source, ...(excludes === undefined ? {} : { excludes }) }] };
  },
  run: async (context) => {
    const { source, strip, devices, excludes } = settingsOf(context.options);
    const entries = context.inputs.tree(source, excludes);
    const [first] = entries;
    if (entries.length === 1 && first?.path === "" && first.kind === "file")
      await context.archives.unpack(first.hostPath, { strip: strip ?? 0, devices: devices ?? false });
    else copyFolder(context, entries);
    refuseEmpty(context, source);
  },
});

function copyFolder(
  { root }: Pick<StepContext<Options, "root">, "root">,
  entries: ReturnType<StepContext<Options, "inputs">["inputs"]["tree"]>,
): void {
  for (const entry of entries) {
    const path = `/${entry.path}`;
    if (entry.kind === "directory") root.makeDirectory(path, { mode: 0o755, uid: 0, gid: 0 });
    else if (entry.kind === "symlink") root.symlink(path, entry.linkTarget ?? "");
    else root.copyFile(entry.hostPath, path, { mode: entry.executable ? 0o755 : 0o644, uid: 0, gid: 0 });
  }
}

function refuseEmpty({ root, address }: Pick<StepContext<Options, "root">, "root" | "address">, source: string): void {
  if (root.lstat("/etc") !== undefined || root.lstat("/usr") !== undefined) return;
  const found = root.list("/").slice(0, 5).join(", ") || "nothing";
  throw new BakehouseError("STEP_FAILED", `${address}: ${source} has neither /etc nor /usr at its top, but ${found}`, {
    hint: "if everything lies in one folder, set `strip: 1`",
  });
}
