import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import type { CheckTree } from "../ports/check-services.ts";
import { accountsOf, groupsOf } from "./lib/accounts.ts";
import { allOf } from "./lib/answers.ts";
import { imagePath, matcher, pattern } from "./lib/options.ts";

const full = z.strictObject({
  path: imagePath().describe("Path inside the image"),
  exists: z.boolean().default(true).describe("false: nothing may be there"),
  type: z.enum(["file", "directory", "symlink"]).optional().describe("What it must be"),
  mode: z
    .string()
    .regex(/^[0-7]{3,4}$/, { error: (issue) => `${JSON.stringify(issue.input)} is no mode: write it in quotes, such as "0644"` })
    .optional()
    .describe('Permission bits, in quotes: "0640"'),
  owner: z.union([z.string(), z.int()]).optional().describe("Name or number of the owner"),
  group: z.union([z.string(), z.int()]).optional().describe("Name or number of the group"),
  target: z.string().optional().describe("Where a symbolic link must lead"),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, { error: (issue) => `${JSON.stringify(issue.input)} is no SHA-256: 64 digits and letters a to f` })
    .optional()
    .describe("SHA-256 of the content"),
  contains: z.string().optional().describe("Text that must be in it"),
  lacks: z.string().optional().describe("Text that must not be in it"),
  matches: pattern().optional().describe("Regular expression that the content must match; ^ and $ are the ends of lines"),
});
const options = z.union([imagePath().describe("A path that must be there"), full]);

/** Looks at one path of the image as it was baked. */
export const file = defineCheck({
  id: "file",
  version: 1,
  summary: "A file is there or not, with this mode, owner and content",
  description:
    "Looks at the image as it was baked, nothing started: what appears at boot is asked for with `command: test -e …`. Links on the way are followed inside the image; the last one is not when `type: symlink` or `target` is given.",
  examples: [
    `- file: /srv/shop/version.txt`,
    `- file: { path: /etc/ssh/sshd_config.d/10-bakehouse.conf, mode: "0644", owner: root, contains: PasswordAuthentication no }`,
    `- file: { path: /usr/bin/gcc, exists: false }`,
  ],
  options,
  platform: "tree",
  needs: ["tree"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 30_000 },
  async run({ options: given, tree }) {
    const wanted = typeof given === "string" ? full.parse({ path: given }) : given;
    const asLink = wanted.type === "symlink" || wanted.target !== undefined || !wanted.exists;
    const found = asLink ? tree.root.lstat(wanted.path) : tree.root.stat(wanted.path);
    if (!wanted.exists)
      return allOf(found === undefined ? [] : [`${wanted.path} is there: a ${found.kind}`], `${wanted.path} is not there`);
    if (found === undefined) return allOf([`${wanted.path} is not there`], "");
    const mode = found.mode.toString(8).padStart(4, "0");
    const problems = [
      ...(wanted.type === undefined || wanted.type === found.kind ? [] : [`${wanted.path} is a ${found.kind}, not a ${wanted.type}`]),
      ...(wanted.mode === undefined || wanted.mode.padStart(4, "0") === mode
        ? []
        : [`mode of ${wanted.path} is ${mode}, not ${wanted.mode}`]),
      ...ownerProblem(wanted.path, "owner", wanted.owner, found.uid, accountsOf(tree).find(({ uid }) => uid === found.uid)?.name),
      ...ownerProblem(wanted.path, "group", wanted.group, found.gid, groupsOf(tree).find(({ gid }) => gid === found.gid)?.name),
      ...contentProblems(tree, wanted),
    ];
    return allOf(problems, `${wanted.path} is a ${found.kind}, ${mode}, ${found.uid}:${found.gid}`, {
      answered: { kind: found.kind, mode, uid: found.uid, gid: found.gid, sizeBytes: found.sizeBytes },
    });
  },
  selfTest: {
    sound: {
      options: { path: "/etc/bakehouse-self-test", mode: "0600", owner: "root", contains: "sound" },
      files: [{ path: "/etc/bakehouse-self-test", content: "sound\n", mode: 0o600 }],
    },
    faulty: {
      options: { path: "/etc/bakehouse-self-test", mode: "0600", owner: "root", contains: "sound" },
      files: [{ path: "/etc/bakehouse-self-test", content: "changed\n", mode: 0o600 }],
    },
  },
});

function ownerProblem(
  path: string,
  what: string,
  wanted: string | number | undefined,
  id: number,
  name: string | undefined,
): readonly string[] {
  if (wanted === undefined || wanted === id || wanted === name) return [];
  return [`${what} of ${path} is ${name ?? id}, not ${wanted}`];
}

function contentProblems(tree: CheckTree, wanted: z.output<typeof full>): readonly string[] {
  const { path } = wanted;
  const problems: string[] = [];
  const link = wanted.target === undefined ? undefined : tree.root.readLink(path);
  if (wanted.target !== undefined && link !== wanted.target) problems.push(`${path} leads to ${link ?? "nothing"}, not ${wanted.target}`);
  const sha256 = wanted.sha256 === undefined ? undefined : tree.sha256(path);
  if (sha256 !== wanted.sha256) problems.push(`SHA-256 of ${path} is ${sha256 ?? "that of no file"}, not ${wanted.sha256}`);
  if (wanted.contains === undefined && wanted.lacks === undefined && wanted.matches === undefined) return problems;
  const text = tree.root.readText(path);
  if (text === undefined) return [...problems, `${path} is no file that can be read`];
  if (wanted.contains !== undefined && !text.includes(wanted.contains))
    problems.push(`${path} does not contain ${JSON.stringify(wanted.contains)}`);
  if (wanted.lacks !== undefined && text.includes(wanted.lacks)) problems.push(`${path} contains ${JSON.stringify(wanted.lacks)}`);
  if (wanted.matches !== undefined && !matcher(wanted.matches).test(text)) problems.push(`${path} does not match ${wanted.matches}`);
  return problems;
}
