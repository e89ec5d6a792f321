import { z } from "zod";
import { globExpression, hasGlob } from "../core/glob.ts";
import { defineStep } from "../core/step.ts";
import type { ImageRoot } from "../ports/image-root.ts";
import { cleanPath, imagePathProblem, joinPath, listOf, oneOrMany } from "./lib/options.ts";
import { heredoc, quote } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";

/** What no Debian system can do without (FHS 3 and dpkg's own files): removing one of these is a slip. */
const KEPT: ReadonlySet<string> = new Set(
  `/ /bin /boot /dev /etc /etc/group /etc/passwd /etc/shadow /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp
   /usr /usr/bin /usr/lib /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/sbin /usr/share /var /var/lib /var/lib/dpkg /var/lib/dpkg/info /var/lib/dpkg/status`.split(
    /\s+/,
  ),
);

const keptMessage = (path: string, pattern = path): string =>
  path === pattern
    ? `${path} is part of every system and cannot be removed`
    : `"${pattern}" matches ${path}, which is part of every system and cannot be removed`;

const removable = z.string().superRefine((path, context) => {
  const message = imagePathProblem(path) ?? (KEPT.has(cleanPath(path)) ? keptMessage(cleanPath(path)) : undefined);
  if (message !== undefined) context.addIssue({ code: "custom", message, input: path });
});

const options = z.union([
  oneOrMany(removable).describe("Paths and globs inside the image"),
  z.strictObject({
    paths: oneOrMany(removable).describe("Paths and globs inside the image; `*` and `?` stop at /, `**` does not"),
    except: oneOrMany(removable).optional().describe("Paths and globs of what stays"),
    missing: z.enum(["error", "ignore"]).default("error").describe("What to do if one of the paths matches nothing"),
  }),
]);

/** Takes files out of the image. */
export const remove = defineStep({
  id: "remove",
  version: 1,
  role: "provision",
  summary: "Remove files and folders from the image",
  description: `Removes by path or glob, folders with everything in them. Symbolic links are removed themselves; what they lead to stays.

A path that matches nothing is refused, since it is most likely misspelt; \`missing: ignore\` allows it. Directories that every
system needs (\`/usr\`, \`/etc\`, \`/var/lib/dpkg\`, …) are refused, also when a glob matches them; then nothing is removed at all.

The layers below keep their bytes: removing makes the image smaller only for what came in the same layer's earlier steps when the
layer is exported as one. Packages are better left out of \`apt\` in the first place.`,
  examples: [
    `- remove: [/usr/share/doc, /usr/share/man]`,
    `- remove:
    paths: /usr/share/locale/*
    except: /usr/share/locale/en*
    missing: ignore`,
  ],
  options,
  needs: ["root"],
  async run({ root, options: value, address, log }) {
    const { paths, except, missing } = normalise(value);
    const keeps = except.map((pattern) => globExpression(cleanPath(pattern)));
    const found = new Map<string, string>();
    const unmatched: string[] = [];
    for (const pattern of paths) {
      const matches = inImage(address, () => expand(root, pattern)).filter((path) => !keeps.some((keep) => keep.test(path)));
      if (matches.length === 0) unmatched.push(pattern);
      for (const path of matches) found.set(path, pattern);
    }
    if (missing === "error" && unmatched.length > 0) {
      throw stepFailed(address, `nothing in the image matches ${unmatched.join(", ")}`, {
        hint: "correct the path, or say `missing: ignore`",
        details: { unmatched },
      });
    }
    for (const [path, pattern] of found) {
      const real = root.resolve(path).slice(root.hostPath.length);
      if (KEPT.has(path) || KEPT.has(real)) throw stepFailed(address, keptMessage(KEPT.has(path) ? path : real, pattern));
    }
    for (const path of found.keys()) root.remove(path);
    log(`removed ${found.size} ${found.size === 1 ? "path" : "paths"}`);
  },
  atLaunch: (value) => ({ script: launchScript(value) }),
});

type Options = z.output<typeof options>;

const normalise = (value: Options): { paths: readonly string[]; except: readonly string[]; missing: "error" | "ignore" } =>
  typeof value === "string" || Array.isArray(value)
    ? { paths: listOf(value), except: [], missing: "error" }
    : { paths: listOf(value.paths), except: listOf(value.except), missing: value.missing };

/** Image paths that a pattern stands for, sorted. `**` does not go through symbolic links. */
function expand(root: ImageRoot, pattern: string): readonly string[] {
  const parts = cleanPath(pattern).split("/").slice(1);
  let found: readonly string[] = ["/"];
  for (const part of parts) found = found.flatMap((folder) => matchPart(root, folder, part));
  return [...new Set(found)].filter((path) => root.lstat(path) !== undefined).sort();
}

function matchPart(root: ImageRoot, folder: string, part: string): readonly string[] {
  if (part === "**") return [folder, ...foldersBelow(root, folder)];
  if (!hasGlob(part)) return [joinPath(folder, part)];
  if (root.stat(folder)?.kind !== "directory") return [];
  const expression = globExpression(part);
  // As in a shell: `*` does not stand for hidden files.
  return root
    .list(folder)
    .filter((name) => expression.test(name) && (!name.startsWith(".") || part.startsWith(".")))
    .map((name) => joinPath(folder, name));
}

function foldersBelow(root: ImageRoot, folder: string): readonly string[] {
  if (root.stat(folder)?.kind !== "directory") return [];
  return root.list(folder).flatMap((name) => {
    const path = joinPath(folder, name);
    return root.lstat(path)?.kind === "directory" ? [path, ...foldersBelow(root, path)] : [];
  });
}

/** Globs are the shell's own where it has them; the rest is asked of bash's globstar, which Debian always has. */
function launchScript(value: Options): string {
  const { paths, except, missing } = normalise(value);
  const program = [
    "shopt -s globstar nullglob extglob",
    ...paths.map((pattern) => {
      const glob = bashPattern(cleanPath(pattern));
      const keep = except.map((one) => `[[ $path == ${bashPattern(cleanPath(one))} ]] && continue; `).join("");
      const check = missing === "error" ? `; [ "$found" = yes ] || { echo "nothing matches "${quote(pattern)} >&2; exit 1; }` : "";
      return `found=no; for path in ${glob}; do [ -e "$path" ] || [ -L "$path" ] || continue; ${keep}found=yes; rm -rf -- "$path"; done${check}`;
    }),
    "",
  ].join("\n");
  return heredoc("bash -eu", program);
}

const bashPattern = (pattern: string): string => pattern.replace(/[^\w/*?[\]{},.!^\\-]/gu, (character) => `\\${character}`);
