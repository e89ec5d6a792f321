import type { ImageRoot } from "../../ports/image-root.ts";

/** A line of passwd(5). */
export interface User {
  readonly name: string;
  readonly password: string;
  readonly uid: number;
  readonly gid: number;
  readonly comment: string;
  readonly home: string;
  readonly shell: string;
}

/** A line of group(5). */
export interface Group {
  readonly name: string;
  readonly password: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Lines that are no account (empty, comments, NIS marks) are left out. */
export const readUsers = (root: ImageRoot): readonly User[] => linesOf(root, "/etc/passwd").flatMap(parseUser);
export const readGroups = (root: ImageRoot): readonly Group[] => linesOf(root, "/etc/group").flatMap(parseGroup);

export const linesOf = (root: ImageRoot, path: string): readonly string[] =>
  (root.readText(path) ?? "").split("\n").filter((line) => line !== "");

function parseUser(line: string): User[] {
  const [name, password, uid, gid, comment, home, shell] = line.split(":");
  if (name === undefined || password === undefined || !isNumber(uid) || !isNumber(gid)) return [];
  return [{ name, password, uid: Number(uid), gid: Number(gid), comment: comment ?? "", home: home ?? "/", shell: shell ?? "" }];
}

function parseGroup(line: string): Group[] {
  const [name, password, gid, members] = line.split(":");
  if (name === undefined || password === undefined || !isNumber(gid)) return [];
  return [{ name, password, gid: Number(gid), members: (members ?? "").split(",").filter((member) => member !== "") }];
}

const isNumber = (text: string | undefined): text is string => text !== undefined && /^\d+$/.test(text);

export const formatUser = (user: User): string =>
  [user.name, user.password, user.uid, user.gid, user.comment, user.home, user.shell].join(":");
export const formatGroup = (group: Group): string => [group.name, group.password, group.gid, group.members.join(",")].join(":");
