import { z } from "zod";
import { problemsError } from "../core/errors.ts";
import { defineStep } from "../core/step.ts";
import type { LaunchContext, StepContext } from "../core/step.ts";
import type { Attributes } from "../ports/image-root.ts";
import { cleanPath, listOf, mode, oneOrMany, owner, parseMode, recipePath, scalar, targetPath } from "./lib/options.ts";
import { resolveOwner } from "./lib/owner.ts";
import { heredoc, ownerAtLaunch, payloadPath, quote, templateSed, writeFileAtLaunch } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";
import { fillTemplate, templateParameters, textOf } from "./lib/template.ts";

const KINDS = ["content", "from", "link", "directory", "ensureLines"] as const;
const line = () => scalar().refine((text) => !String(text).includes("\n"), "a line has no line break in it");

const options = z
  .strictObject({
    path: targetPath()
      .refine((path) => cleanPath(path) !== "/", "is the root of the image, not a file")
      .describe("The file inside the image"),
    content: scalar().optional().describe("What stands in it, as it is written here; {{parameter}} is filled in"),
    from: recipePath().optional().describe("A file beside the recipe that holds the content"),
    template: z.boolean().optional().describe("Fills in {{parameter}} in the file named by `from`"),
    link: z.string().min(1).optional().describe("Makes a symbolic link to this path instead of a file"),
    directory: z.literal(true).optional().describe("Makes an empty directory instead of a file"),
    ensureLines: oneOrMany(line()).optional().describe("Lines that are added at the end of the file unless it has them already"),
    owner: owner().optional().describe('Owner, such as "app" or "app:www-data"; names are looked up in the image. root if absent'),
    mode: mode().optional().describe('Mode, such as "0600"; "0644" for files and "0755" for directories if absent'),
  })
  .superRefine((value, context) => {
    const given = KINDS.filter((kind) => value[kind] !== undefined);
    if (given.length !== 1) {
      const found = given.length === 0 ? "none is there" : `${given.join(" and ")} are there`;
      context.addIssue({ code: "custom", message: `needs exactly one of ${KINDS.join(", ")}; ${found}`, input: value });
    }
    if (value.template === true && value.from === undefined)
      context.addIssue({
        code: "custom",
        path: ["template"],
        message: "only means something together with from; content is filled in anyway",
        input: value,
      });
    if (value.link !== undefined && value.mode !== undefined)
      context.addIssue({ code: "custom", path: ["mode"], message: "a symbolic link has no mode", input: value });
  });

type Options = z.output<typeof options>;

/** Writes one file, directory or link. */
export const file = defineStep({
  id: "file",
  version: 1,
  role: "provision",
  summary: "Write one file, directory or symbolic link",
  description: `Puts one thing at \`path\` and makes the directories above it where they are missing (root, 0755). Exactly one of these says what:

| | |
|---|---|
| \`content\` | the text itself |
| \`from\` | a file beside the recipe; with \`template: true\` its \`{{parameter}}\`s are filled in |
| \`link\` | a symbolic link to that path |
| \`directory: true\` | an empty directory; if it is there already, owner and mode are set |
| \`ensureLines\` | lines that the file must have: the missing ones are added at its end, in order. Owner and mode of a file that is there stay unless given |

A file or link that is there is replaced (but for \`ensureLines\`); a directory is never replaced by a file.`,
  examples: [
    `- file:
    path: /etc/motd
    content: |
      Baked by Bakehouse: changes here are lost with the machine.`,
    `- file:
    path: /var/lib/shop
    directory: true
    owner: shop
    mode: "0750"`,
    `- file: { path: /usr/local/bin/python, link: /usr/bin/python3 }`,
    `- file:
    path: /etc/security/limits.conf
    ensureLines: ["shop soft nofile 65536", "shop hard nofile 65536"]`,
  ],
  options,
  needs: ["root", "inputs"],
  requires: (value) => ({
    ...(value.from === undefined ? {} : { files: [{ path: value.from, kind: "file" }] }),
    ...(value.template === true ? { parameters: "all" as const } : {}),
  }),
  async run(context) {
    inImage(context.address, () => put(context));
  },
  atLaunch: (value, context) => ({
    script: launchScript(value, context),
    ...(value.from === undefined ? {} : { payload: [{ path: value.from }] }),
  }),
});

type Context = StepContext<Options, "root" | "inputs">;

function put(context: Context): void {
  const { root, options: value } = context;
  const path = cleanPath(value.path);
  if (value.directory === true) return root.makeDirectory(path, given(context));
  if (value.ensureLines !== undefined) return ensureLines(context, path);
  if (value.link !== undefined) {
    root.symlink(path, value.link);
    return root.setAttributes(path, resolveOwner(root, context.address, value.owner));
  }
  if (value.path.endsWith("/"))
    throw stepFailed(context.address, `${value.path} ends with /, so it names a directory`, {
      hint: "name the file, or say `directory: true`",
    });
  if (value.content !== undefined) return root.write(path, String(value.content), given(context));
  return putFrom(context, path, value.from ?? "");
}

const given = ({ root, address, options: value }: Context): Attributes => ({
  ...(value.owner === undefined ? {} : resolveOwner(root, address, value.owner)),
  ...(value.mode === undefined ? {} : { mode: parseMode(value.mode) }),
});

function putFrom(context: Context, path: string, source: string): void {
  const { root, inputs, parameters, options: value } = context;
  if (inputs.tree(source)[0]?.path !== "")
    throw stepFailed(context.address, `${source} is a folder`, { hint: "the `copy` step copies folders" });
  if (value.template !== true) return root.copyFile(inputs.hostPath(source), path, given(context));
  const text = textOf(inputs.read(source));
  if (text === undefined) throw problemsError("INPUT_INVALID", [{ file: source, message: "it is not UTF-8 text, so no template" }]);
  const filled = fillTemplate(source, text, templateParameters(parameters, undefined));
  if (filled.problems.length > 0) throw problemsError("INPUT_INVALID", filled.problems);
  root.write(path, filled.text, given(context));
}

function ensureLines(context: Context, path: string): void {
  const { root, options: value } = context;
  const before = root.stat(path);
  const text = root.readText(path) ?? "";
  const present = new Set(text.split("\n"));
  const missing = [...new Set(listOf(value.ensureLines).map(String))].filter((one) => !present.has(one));
  const kept: Attributes = before === undefined ? {} : { mode: before.mode, uid: before.uid, gid: before.gid };
  const separator = text === "" || text.endsWith("\n") ? "" : "\n";
  // Through a link, as an editor would do it: /etc/x -> ../run/x keeps being a link.
  const target = before === undefined ? path : realPath(context, path);
  if (missing.length > 0 || before === undefined)
    root.write(target, text + separator + missing.map((one) => `${one}\n`).join(""), { ...kept, ...given(context) });
  else root.setAttributes(target, given(context));
}

/** Follows links at the last component; the root has refused loops already. */
function realPath({ root }: Context, path: string): string {
  const target = root.readLink(path);
  if (target === undefined) return path;
  const next = target.startsWith("/") ? target : `${path.slice(0, path.lastIndexOf("/"))}/${target}`;
  return realPath({ root } as Context, next);
}

function launchScript(value: Options, context: LaunchContext): string {
  const path = cleanPath(value.path);
  const attributes = {
    ...(value.mode === undefined ? {} : { mode: value.mode }),
    ...(value.owner === undefined ? {} : { owner: value.owner }),
  };
  if (value.directory === true) return [`mkdir -p ${quote(path)}`, ...attributeCommands(value, path)].join("\n");
  if (value.link !== undefined) {
    const own = value.owner === undefined ? [] : [`chown -h ${quote(ownerAtLaunch(value.owner))} ${quote(path)}`];
    return [`mkdir -p "$(dirname ${quote(path)})"`, `ln -sfnT ${quote(value.link)} ${quote(path)}`, ...own].join("\n");
  }
  if (value.content !== undefined) return writeFileAtLaunch(path, String(value.content), attributes);
  if (value.ensureLines !== undefined) return launchEnsureLines(value, path);
  const fill = value.template === true ? [`sed -i -e ${quote(templateSed(context.parameters, undefined))} ${quote(path)}`] : [];
  return [
    `mkdir -p "$(dirname ${quote(path)})"`,
    `cp --remove-destination ${payloadPath(value.from ?? "")} ${quote(path)}`,
    ...fill,
    ...attributeCommands({ mode: "0644", owner: 0, ...attributes }, path),
  ].join("\n");
}

const attributeCommands = (
  value: { readonly mode?: string | undefined; readonly owner?: string | number | undefined },
  path: string,
): readonly string[] => [
  ...(value.owner === undefined ? [] : [`chown ${quote(ownerAtLaunch(value.owner))} ${quote(path)}`]),
  ...(value.mode === undefined ? [] : [`chmod ${value.mode} ${quote(path)}`]),
];

function launchEnsureLines(value: Options, path: string): string {
  const lines = [...new Set(listOf(value.ensureLines).map(String))];
  return [
    `mkdir -p "$(dirname ${quote(path)})"`,
    `touch ${quote(path)}`,
    `[ -z "$(tail -c1 ${quote(path)})" ] || echo >> ${quote(path)}`,
    heredoc(
      `while IFS= read -r line; do grep -qxF -e "$line" ${quote(path)} || printf '%s\\n' "$line" >> ${quote(path)}; done`,
      `${lines.join("\n")}\n`,
    ),
    ...attributeCommands(value, path),
  ].join("\n");
}
