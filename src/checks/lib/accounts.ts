import type { CheckTree } from "../../ports/check-services.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const rows = (tree: CheckTree, path: string): readonly (readonly string[])[] =>
  (tree.root.readText(path) ?? "")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.split(":"));

/** passwd(5) */
export const accountsOf = (tree: CheckTree): readonly Account[] =>
  rows(tree, "/etc/passwd").map(([name = "", , uid = "", gid = "", , home = "", shell = ""]) => ({
    name,
    uid: Number(uid),
    gid: Number(gid),
    home,
    shell,
  }));

/** group(5) */
export const groupsOf = (tree: CheckTree): readonly Group[] =>
  rows(tree, "/etc/group").map(([name = "", , gid = "", members = ""]) => ({
    name,
    gid: Number(gid),
    members: members.split(",").filter((member) => member !== ""),
  }));

/** Name and password field of shadow(5). */
export const passwordsOf = (tree: CheckTree): readonly { readonly name: string; readonly hash: string }[] =>
  rows(tree, "/etc/shadow").map(([name = "", hash = ""]) => ({ name, hash }));
