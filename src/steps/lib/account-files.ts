import type { ImageRoot } from "../../ports/image-root.ts";
import { formatGroup, formatUser, linesOf, readGroups, readUsers } from "./accounts.ts";
import type { Group, User } from "./accounts.ts";

/** Where Debian's useradd and groupadd look for a free number (login.defs of passwd 4.13: SYS_UID_*, UID_* and their groups). */
const SYSTEM_IDS = { from: 999, to: 100 } as const;
const REGULAR_IDS = { from: 1000, to: 59_999 } as const;

const SECONDS_A_DAY = 86_400;

/**
 * The four account files of an image, changed line by line: what is not touched stays byte for byte. Without useradd,
 * so that an image without the passwd package can have users, and without its lock and backup files.
 *
 *     /etc/passwd   name:x:uid:gid:comment:home:shell
 *     /etc/shadow   name:!:lastChange:0:99999:7:::      days since 1970; a system account has no more than the first three
 *     /etc/group    name:x:gid:members
 *     /etc/gshadow  name:!::members
 */
export class AccountFiles {
  readonly #root: ImageRoot;
  readonly #lastChange: number;

  /** @param epochSeconds becomes the day of the last change of passwords, which would otherwise be today */
  constructor(root: ImageRoot, epochSeconds: number) {
    this.#root = root;
    this.#lastChange = Math.floor(epochSeconds / SECONDS_A_DAY);
  }

  get users(): readonly User[] {
    return readUsers(this.#root);
  }

  get groups(): readonly Group[] {
    return readGroups(this.#root);
  }

  /** The first number that neither a user nor a group has: the highest for system accounts, the lowest for people. */
  freeId(system: boolean): number {
    const taken = new Set([...this.users.map((user) => user.uid), ...this.groups.map((group) => group.gid)]);
    const { from, to } = system ? SYSTEM_IDS : REGULAR_IDS;
    const step = from < to ? 1 : -1;
    for (let id: number = from; id !== to + step; id += step) if (!taken.has(id)) return id;
    throw new Error(`no number between ${from} and ${to} is free`);
  }

  addGroup(name: string, gid: number): Group {
    const group: Group = { name, password: "x", gid, members: [] };
    this.#setLine("/etc/group", name, formatGroup(group));
    if (this.#has("/etc/gshadow")) this.#setLine("/etc/gshadow", name, `${name}:!::`);
    return group;
  }

  /** The password is locked, always: there is no way to give one. */
  addUser(user: Omit<User, "password">, system: boolean): void {
    const shadow = this.#has("/etc/shadow");
    this.#setLine("/etc/passwd", user.name, formatUser({ ...user, password: shadow ? "x" : "!" }));
    if (shadow) this.#setLine("/etc/shadow", user.name, `${user.name}:!:${this.#lastChange}:${system ? ":::::" : "0:99999:7:::"}`);
  }

  changeUser(user: User): void {
    this.#setLine("/etc/passwd", user.name, formatUser(user));
  }

  addMember(group: string, member: string): void {
    this.#setMembers("/etc/group", group, member);
    if (this.#has("/etc/gshadow")) this.#setMembers("/etc/gshadow", group, member);
  }

  /** Members are the fourth field of both files. */
  #setMembers(path: string, group: string, member: string): void {
    const line = linesOf(this.#root, path).find((one) => one.startsWith(`${group}:`));
    if (line === undefined) return;
    const fields = line.split(":");
    const members = (fields[3] ?? "").split(",").filter((name) => name !== "");
    if (members.includes(member)) return;
    this.#setLine(path, group, [...fields.slice(0, 3), [...members, member].join(",")].join(":"));
  }

  #has(path: string): boolean {
    return this.#root.stat(path) !== undefined;
  }

  /** Replaces the account's line or adds it at the end; owner and mode of the file stay. */
  #setLine(path: string, name: string, line: string): void {
    const lines = linesOf(this.#root, path);
    const at = lines.findIndex((one) => one.startsWith(`${name}:`));
    const changed = at === -1 ? [...lines, line] : lines.with(at, line);
    const before = this.#root.stat(path);
    const text = changed.map((one) => `${one}\n`).join("");
    this.#root.write(path, text, before === undefined ? {} : { mode: before.mode, uid: before.uid, gid: before.gid });
  }
}
