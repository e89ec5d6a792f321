import { suggestion } from "../../core/text/did-you-mean.ts";
import type { ImageRoot } from "../../ports/image-root.ts";
import { readGroups, readUsers } from "./accounts.ts";
import type { User } from "./accounts.ts";
import { stepFailed } from "./step-error.ts";

export interface OwnerIds {
  readonly uid: number;
  readonly gid: number;
}

const ROOT_OWNER: OwnerIds = { uid: 0, gid: 0 };

/**
 * Looks an owner up in the image's own accounts. Without a group it is the user's primary group, and for a number that
 * no user has the same number. `:adm` is root and the group adm.
 *
 * @throws BakehouseError STEP_FAILED if the image has no such user or group
 */
export function resolveOwner(root: ImageRoot, address: string, owner: string | number | undefined): OwnerIds {
  if (owner === undefined) return ROOT_OWNER;
  const [userName = "", groupName = ""] = String(owner).split(":");
  const user = userName === "" ? ROOT_OWNER : findUser(root, address, userName);
  return { uid: user.uid, gid: groupName === "" ? user.gid : findGroup(root, address, groupName) };
}

/** A user of the image by name or number. */
export function findUser(root: ImageRoot, address: string, name: string): OwnerIds & Partial<User> {
  const users = readUsers(root);
  const byNumber = /^\d+$/.test(name);
  const user = users.find((one) => (byNumber ? one.uid === Number(name) : one.name === name));
  if (user !== undefined) return user;
  if (byNumber) return { uid: Number(name), gid: Number(name) };
  throw unknownAccount(
    address,
    "user",
    name,
    users.map((one) => one.name),
  );
}

function findGroup(root: ImageRoot, address: string, name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  const groups = readGroups(root);
  const group = groups.find((one) => one.name === name);
  if (group === undefined)
    throw unknownAccount(
      address,
      "group",
      name,
      groups.map((one) => one.name),
    );
  return group.gid;
}

const unknownAccount = (address: string, kind: "user" | "group", name: string, known: readonly string[]) =>
  stepFailed(address, `the image has no ${kind} "${name}"`, {
    hint: [suggestion(name, known, `${kind}s of the image`), `a step "${kind}: ${name}" before this one makes it`]
      .filter((part) => part !== undefined)
      .join("; "),
    details: { [kind]: name },
  });
