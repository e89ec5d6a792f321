import { z } from "zod";
import type { Problem } from "../core/errors.ts";
import { problemsError } from "../core/errors.ts";
import { compileGlobs } from "../core/glob.ts";
import type { Globs } from "../core/glob.ts";
import { defineStep } from "../core/step.ts";
import type { LaunchContext, StepContext } from "../core/step.ts";
import type { Attributes, FileToCopy } from "../ports/image-root.ts";
import type { InputEntry } from "../ports/step-services.ts";
import {
  baseName,
  cleanPath,
  glob,
  hiddenPlaceProblem,
  joinPath,
  listOf,
  mode,
  oneOrMany,
  owner,
  parseMode,
  recipePath,
  targetOrFolder,
} from "./lib/options.ts";
import { resolveOwner } from "./lib/owner.ts";
import type { OwnerIds } from "./lib/owner.ts";
import { ownerAtLaunch, payloadPath, quote, templateSed } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";
import { fillTemplate, templateParameters, textOf } from "./lib/template.ts";

const options = z
  .strictObject({
    from: oneOrMany(recipePath()).describe("File or folder beside the recipe, or a list of them. A folder stands for what is in it"),
    to: targetOrFolder().describe("Where it goes. With / at the end: the folder that files are put into under their own names"),
    owner: owner()
      .optional()
      .describe('Owner of everything copied: "app", "app:www-data" or "1000:1000"; names are looked up in the image. root if absent'),
    mode: mode()
      .optional()
      .describe('Mode of every file, such as "0644". Absent: "0755" for what is executable beside the recipe, "0644" for the rest'),
    fileMode: mode()
      .optional()
      .describe('Mode of files, such as "0640"; what is executable beside the recipe also gets x wherever it has r'),
    directoryMode: mode().optional().describe('Mode of the directories that the step makes, "0755" if absent'),
    excludes: z.array(glob()).optional().describe("Globs as in .gitignore, relative to each `from` folder, of what is left out"),
    template: z
      .union([z.boolean(), z.array(glob()).min(1)])
      .optional()
      .describe("Fills in {{parameter}}: true in every text file, globs in those that match"),
    parameters: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe("The only parameters that the templates may use; then no other one makes the step bake again"),
  })
  .refine((value) => value.mode === undefined || value.fileMode === undefined, {
    message: "mode and fileMode exclude each other",
    path: ["fileMode"],
  })
  .refine((value) => value.parameters === undefined || usesTemplates(value.template), {
    message: "only means something together with template",
    path: ["parameters"],
  });

type Options = z.output<typeof options>;

/** Puts files of the recipe's folder into the image. */
export const copy = defineStep({
  id: "copy",
  version: 1,
  role: "provision",
  summary: "Copy files and folders from beside the recipe into the image",
  description: `Copies from the recipe's folder. What it copies is part of the step's cache key, by name, content and executable bit.

- **A folder stands for what is in it**: \`from: app\` and \`to: /srv/app\` give \`/srv/app/index.html\`, with or without \`/\` at the end of either.
- **A file** becomes \`to\` itself; with \`/\` at the end of \`to\` it is put into that folder under its own name. If \`to\` is a folder
  of the image and has no \`/\` at its end, the step is refused rather than guessing.
- **A list** is copied in order into the folder \`to\`; where two have the same file, the later one stays.
- Directories that the image has already keep their owner and mode, so a tree may be laid over \`/\`. Files are replaced.
- Nothing of the host shows: owner and mode come from the options, not from the checkout or the umask. Times are the image's own.
- **Symbolic links** in a folder stay links if they stay inside of it. One that leads out, or is absolute, is refused.
- \`.git\`, \`.bakehouse\`, \`bakehouse.lock\` and what \`.bakehouseignore\` beside the recipe lists (same syntax as \`.gitignore\`) are never copied.
- What would go below \`/run\`, \`/tmp\` or another place that no machine sees is refused, also as a part of a tree.
- **Templates**: \`{{version}}\` becomes the parameter's value, \`{{!version}}\` gives \`{{version}}\`. A name that is no parameter is
  refused with file, line and column. With \`template: true\` files that are not text are copied as they are.`,
  examples: [
    `- copy:
    from: app
    to: /srv/shop
    owner: shop
    excludes: ["*.test.py", __pycache__/]`,
    `- copy:
    from: config/nginx.conf
    to: /etc/nginx/nginx.conf`,
    `- copy:
    from: [bin/report, bin/cleanup]
    to: /usr/local/bin/
    mode: "0755"`,
    `- name: settings
  copy:
    from: etc
    to: /etc/shop
    owner: root:shop
    fileMode: "0640"
    directoryMode: "0750"
    template: ["*.toml", "*.env"]`,
  ],
  options,
  needs: ["root", "inputs"],
  requires: (value) => ({
    files: listOf(value.from).map((path) => ({ path, ...(value.excludes === undefined ? {} : { excludes: value.excludes }) })),
    ...(usesTemplates(value.template) ? { parameters: value.parameters ?? "all" } : {}),
  }),
  async run(context) {
    const copier = new Copier(context);
    for (const source of listOf(context.options.from)) copier.copy(source);
    copier.finish();
  },
  atLaunch: (value, context) => ({
    script: listOf(value.from)
      .map((source) => launchScript(value, source, context))
      .join("\n"),
    payload: listOf(value.from).map((path) => ({ path, ...(value.excludes === undefined ? {} : { excludes: value.excludes }) })),
  }),
});

function usesTemplates(template: boolean | readonly string[] | undefined): boolean {
  return template !== undefined && template !== false;
}

/** From so many files on it pays to read the directory that they go to. */
const TOGETHER = 8;

/** One run of the step; holds what all files share and collects the templates' problems. */
class Copier {
  readonly #context: StepContext<Options, "root" | "inputs">;
  readonly #owner: OwnerIds;
  readonly #templates: Globs | "all" | undefined;
  readonly #problems: Problem[] = [];
  #waiting: { readonly directory: string; readonly files: FileToCopy[] } | undefined;
  #files = 0;
  #bytes = 0;

  constructor(context: StepContext<Options, "root" | "inputs">) {
    const { template } = context.options;
    this.#context = context;
    this.#owner = resolveOwner(context.root, context.address, context.options.owner);
    this.#templates = template === true ? "all" : template === undefined || template === false ? undefined : compileGlobs(template);
  }

  copy(source: string): void {
    const {
      inputs,
      options: { excludes, to },
      signal,
    } = this.#context;
    const entries = inputs.tree(source, excludes);
    const single = entries.length === 1 && entries[0]?.path === "";
    const target = single ? this.#fileTarget(source) : cleanPath(to);
    if (!single) this.#directory(target);
    for (const entry of entries) {
      signal.throwIfAborted();
      this.#entry(entry, joinPath(target, entry.path), joinPath(cleanPath(source), entry.path));
    }
    this.#flush();
  }

  /** @throws INPUT_INVALID with the problems of all templates of all sources, and all files that no machine would see */
  finish(): void {
    if (this.#problems.length > 0) throw problemsError("INPUT_INVALID", this.#problems);
    this.#context.log(
      `copied ${this.#files} ${this.#files === 1 ? "file" : "files"}, ${this.#bytes} bytes, to ${this.#context.options.to}`,
    );
  }

  #fileTarget(source: string): string {
    const {
      root,
      address,
      options: { from, to },
    } = this.#context;
    const into = joinPath(cleanPath(to), baseName(source));
    if (to.endsWith("/") || Array.isArray(from)) return into;
    if (root.stat(to)?.kind === "directory") {
      throw stepFailed(address, `${to} is a directory in the image and ${source} is a file`, { hint: `write \`to: ${to}/\` for ${into}` });
    }
    return to;
  }

  #entry(entry: InputEntry, path: string, source: string): void {
    const { root, address } = this.#context;
    if (entry.kind === "directory") return this.#directory(path);
    const hidden = hiddenPlaceProblem(path);
    if (hidden !== undefined) return void this.#problems.push({ file: source, message: hidden });
    inImage(address, () => {
      if (entry.kind === "symlink") {
        this.#flush();
        root.symlink(path, entry.linkTarget ?? "");
        root.setAttributes(path, this.#owner);
      } else this.#file(entry, path, source);
    });
    this.#files++;
    this.#bytes += entry.kind === "file" ? entry.sizeBytes : 0;
  }

  #directory(path: string): void {
    const {
      root,
      address,
      options: { directoryMode = "0755" },
    } = this.#context;
    inImage(address, () => {
      if (root.stat(path)?.kind !== "directory") root.makeDirectory(path, { ...this.#owner, mode: parseMode(directoryMode) });
    });
  }

  #file(entry: InputEntry, path: string, source: string): void {
    const attributes: Attributes = { ...this.#owner, mode: fileMode(this.#context.options, entry.executable) };
    const text = this.#template(entry, source);
    if (text !== undefined) {
      this.#flush();
      return this.#context.root.write(path, text, attributes);
    }
    const directory = parentOf(path);
    if (this.#waiting?.directory !== directory) this.#flush();
    this.#waiting ??= { directory, files: [] };
    this.#waiting.files.push({ hostPath: entry.hostPath, name: baseName(path), attributes });
  }

  /** Files of one directory are copied together. */
  #flush(): void {
    if (this.#waiting === undefined) return;
    const { directory, files } = this.#waiting;
    this.#waiting = undefined;
    inImage(this.#context.address, () => {
      if (files.length >= TOGETHER) return this.#context.root.copyFiles(directory, files);
      for (const { hostPath, name, attributes } of files) this.#context.root.copyFile(hostPath, joinPath(directory, name), attributes);
    });
  }

  /** The filled text, or nothing if the file is copied as it is. */
  #template(entry: InputEntry, source: string): string | undefined {
    const { inputs, parameters, options } = this.#context;
    const name = entry.path === "" ? baseName(source) : entry.path;
    if (this.#templates === undefined || (this.#templates !== "all" && !this.#templates.matches(name, false))) return undefined;
    const text = textOf(inputs.read(source));
    if (text === undefined) {
      if (this.#templates !== "all")
        this.#problems.push({ file: source, message: "it is not UTF-8 text, so no template", hint: "narrow the globs of `template`" });
      return undefined;
    }
    const filled = fillTemplate(source, text, templateParameters(parameters, options.parameters));
    this.#problems.push(...filled.problems);
    return filled.text === text ? undefined : filled.text;
  }
}

function fileMode(value: Options, executable: boolean): number {
  if (value.mode !== undefined) return parseMode(value.mode);
  const plain = parseMode(value.fileMode ?? "0644");
  return executable ? plain | ((plain & 0o444) >> 2) : plain;
}

/** Stages a copy with the right owners and modes, then lays it over the tree without touching directories that are there. */
function launchScript(value: Options, source: string, context: LaunchContext): string {
  const to = cleanPath(value.to);
  const into = value.to.endsWith("/") || Array.isArray(value.from);
  const plain = value.mode ?? value.fileMode ?? "0644";
  const executable = value.mode ?? fileMode(value, true).toString(8).padStart(4, "0");
  const directory = value.directoryMode ?? "0755";
  const fill = launchTemplates(value, context);
  return `stage=$(mktemp -d)
if [ -d ${payloadPath(source)} ]; then
  cp -R ${payloadPath(source)}/. "$stage"
  target=${quote(to)}
else
  target=${quote(into ? to : parentOf(to))}
  cp ${payloadPath(source)} "$stage"/${quote(into ? baseName(source) : baseName(to))}
fi
${fill}find "$stage" -type d -exec chmod ${directory} {} +
find "$stage" -type f -perm -u+x -exec chmod ${executable} {} +
find "$stage" -type f ! -perm ${executable} -exec chmod ${plain} {} +
chown -hR ${value.owner === undefined ? "root:root" : quote(ownerAtLaunch(value.owner))} "$stage"
if [ ! -d "$target" ]; then mkdir -p "$target"; chmod ${directory} "$target"; chown --reference="$stage" "$target"; fi
tar -C "$stage" -cf - . | tar -C "$target" -xpf - --no-overwrite-dir --keep-directory-symlink
rm -rf "$stage"`;
}

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("/"), 1));

function launchTemplates(value: Options, context: LaunchContext): string {
  if (!usesTemplates(value.template)) return "";
  const chosen = Array.isArray(value.template) ? ` ${findExpression(value.template)}` : "";
  return `find "$stage" -type f${chosen} -exec grep -Ilq '{{' {} \\; -exec sed -i -e ${quote(templateSed(context.parameters, value.parameters))} {} +\n`;
}

/** Globs for find(1): what a `!` takes back stays out wherever it stands in the list, and `*` in a path also goes over `/`. */
function findExpression(globs: readonly string[]): string {
  const test = (pattern: string): string => {
    const body = pattern.replace(/\/+$/, "");
    return body.includes("/") ? `-path "$stage"/${quote(body.replace(/^\//, "").replaceAll("**/", "*"))}` : `-name ${quote(body)}`;
  };
  const taken = globs.filter((pattern) => !pattern.startsWith("!")).flatMap(alternatives);
  const back = globs.filter((pattern) => pattern.startsWith("!")).flatMap((pattern) => alternatives(pattern.slice(1)));
  return [`\\( ${taken.map(test).join(" -o ")} \\)`, ...back.map((pattern) => `! ${test(pattern)}`)].join(" ");
}

/** `*.{js,map}` → `*.js`, `*.map` */
function alternatives(pattern: string): readonly string[] {
  const [whole, before, inner, after] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(pattern) ?? [];
  return whole === undefined ? [pattern] : (inner ?? "").split(",").flatMap((one) => alternatives(`${before}${one}${after}`));
}
