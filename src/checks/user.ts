import { z } from "zod";
import { defineCheck } from "../core/checks/check.ts";
import type { CheckTree } from "../ports/check-services.ts";
import { accountsOf, groupsOf, passwordsOf } from "./lib/accounts.ts";
import { allOf } from "./lib/answers.ts";
import { imagePath } from "./lib/options.ts";

const account = z.strictObject({
  name: z.string().min(1).describe("Name of the account"),
  exists: z.boolean().default(true).describe("false: there must be no such account"),
  uid: z.int().min(0).optional().describe("Its number"),
  gid: z.int().min(0).optional().describe("Number of its own group"),
  home: imagePath().optional().describe("Its home"),
  shell: imagePath().optional().describe("Its shell"),
  groups: z.array(z.string().min(1)).optional().describe("Groups that it must belong to, besides others"),
  locked: z.boolean().optional().describe("true: no password opens it; false: it has one"),
});
const options = z.union([z.string().min(1).describe("Name of an account that must be there"), account]);

/** Looks an account up in the image. */
export const user = defineCheck({
  id: "user",
  version: 1,
  summary: "An account is there, with this number, home, shell and groups",
  description:
    "Reads `/etc/passwd`, `/etc/group` and `/etc/shadow` of the image. What is not named is not looked at. With `exists: false` the account must be missing.",
  examples: [`- user: shop`, `- user: { name: shop, uid: 2000, home: /srv/shop, groups: [www-data], locked: true }`],
  options,
  platform: "tree",
  needs: ["tree"],
  defaults: { retries: 0, intervalMs: 0, timeoutMs: 10_000 },
  async run({ options: given, tree }) {
    const wanted = typeof given === "string" ? account.parse({ name: given }) : given;
    const found = accountsOf(tree).find(({ name }) => name === wanted.name);
    if (!wanted.exists)
      return allOf(found === undefined ? [] : [`${wanted.name} is there, with uid ${found.uid}`], `${wanted.name} is not there`);
    if (found === undefined) return allOf([`there is no account ${wanted.name}`], "", { remedy: `a \`user\` step makes it` });
    const groups = groupsOf(tree).filter(({ gid, members }) => gid === found.gid || members.includes(found.name));
    const problems = [
      ...(["uid", "gid", "home", "shell"] as const).flatMap((field) =>
        wanted[field] === undefined || wanted[field] === found[field]
          ? []
          : [`${field} of ${found.name} is ${found[field]}, not ${wanted[field]}`],
      ),
      ...(wanted.groups ?? [])
        .filter((name) => !groups.some((group) => group.name === name))
        .map((name) => `${found.name} is not in group ${name}`),
      ...(wanted.locked === undefined || wanted.locked === isLocked(tree, found.name)
        ? []
        : [`${found.name} ${wanted.locked ? "has a password" : "has no password"}`]),
    ];
    return allOf(problems, `${found.name} has uid ${found.uid}`, { answered: { ...found, groups: groups.map(({ name }) => name) } });
  },
  selfTest: {
    sound: { options: { name: "root", uid: 0 } },
    faulty: { options: { name: "bakehouse-self-test" } },
  },
});

/** An empty field lets everybody in, `!` and `*` nobody (shadow(5)). */
const isLocked = (tree: CheckTree, name: string): boolean => /^[!*]/.test(passwordsOf(tree).find((row) => row.name === name)?.hash ?? "");
