import { z } from "zod";
import { defineStep } from "../core/step.ts";
import { AccountFiles } from "./lib/account-files.ts";
import { accountId, accountName } from "./lib/options.ts";
import { quote, words } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";
import { findUser } from "./lib/owner.ts";

const settings = z.strictObject({
  name: accountName().describe("Name of the group"),
  gid: accountId().optional().describe("Its number; absent: the first free one, from 999 down for system groups, from 1000 up for others"),
  system: z.boolean().default(false).describe("A group of a service rather than of people; only matters for the number"),
  members: z.array(accountName()).optional().describe("Users of the image that become members"),
});
const options = z.union([accountName().describe("Name of the group"), settings]);

type Settings = z.output<typeof settings>;
const normalise = (value: z.output<typeof options>): Settings => (typeof value === "string" ? { name: value, system: false } : value);

/** Makes a group. */
export const group = defineStep({
  id: "group",
  version: 1,
  role: "provision",
  summary: "Make a group, or add users to one",
  description: `Makes sure that the image has the group, and that \`members\` belong to it. A group that is there stays as it is; another number
than it has is refused, since files belong to numbers. Without \`gid\` the number is the first free one of the image, so it is the same in
every bake; give it where machines share files.`,
  examples: [`- group: deploy`, `- group: { name: shop, gid: 900, members: [www-data] }`],
  options,
  needs: ["root"],
  async run({ root, address, epochSeconds, options: value }) {
    const { name, gid, system, members } = normalise(value);
    inImage(address, () => {
      const files = new AccountFiles(root, epochSeconds);
      const existing = files.groups.find((one) => one.name === name);
      const holder = files.groups.find((one) => one.gid === gid);
      if (existing !== undefined && gid !== undefined && existing.gid !== gid)
        throw stepFailed(address, `group "${name}" has number ${existing.gid} in the image, not ${gid}`, {
          hint: `leave gid out, or write gid: ${existing.gid}`,
        });
      if (existing === undefined && holder !== undefined)
        throw stepFailed(address, `number ${gid} belongs to group "${holder.name}"`, { hint: "leave gid out for the first free one" });
      for (const member of members ?? []) findUser(root, address, member);
      if (existing === undefined) files.addGroup(name, gid ?? files.freeId(system));
      for (const member of members ?? []) files.addMember(name, member);
    });
  },
  atLaunch(value) {
    const { name, gid, system, members } = normalise(value);
    const add = words("groupadd", ...(system ? ["--system"] : []), ...(gid === undefined ? [] : ["--gid", gid]), name);
    return {
      script: [
        `getent group ${quote(name)} > /dev/null || ${add}`,
        ...(members ?? []).map((member) => words("usermod", "--append", "--groups", name, member)),
      ].join("\n"),
    };
  },
});
