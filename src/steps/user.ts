import { z } from "zod";
import { problemsError } from "../core/errors.ts";
import { suggestion } from "../core/text/did-you-mean.ts";
import { defineStep } from "../core/step.ts";
import type { StepContext } from "../core/step.ts";
import type { ImageRoot } from "../ports/image-root.ts";
import { AccountFiles } from "./lib/account-files.ts";
import type { User } from "./lib/accounts.ts";
import { accountId, accountName, cleanPath, imagePath, joinPath, listOf, oneOrMany, recipePath } from "./lib/options.ts";
import { payloadPath, quote, words } from "./lib/shell.ts";
import { inImage, stepFailed } from "./lib/step-error.ts";

const fieldPath = () => imagePath().refine((path) => !path.includes(":"), "must not have a colon in it");

const settings = z.strictObject({
  name: accountName().describe("Name of the user"),
  uid: accountId().optional().describe("Its number; absent: the first free one, from 999 down for system users, from 1000 up for others"),
  system: z.boolean().default(false).describe("A user that a service runs as: no login shell, no home unless given"),
  group: accountName().optional().describe("Primary group, which must be there; absent: a group of the user's own name, made if needed"),
  groups: z.array(accountName()).optional().describe("Further groups, which must be there"),
  home: fieldPath().optional().describe("Home directory; /home/<name> if absent, /nonexistent for system users"),
  createHome: z
    .boolean()
    .optional()
    .describe("Whether to make the home directory (mode 0700, with the files of /etc/skel); yes unless it is a system user"),
  shell: fieldPath().optional().describe("Login shell; /bin/bash if absent, /usr/sbin/nologin for system users"),
  comment: z
    .string()
    .max(200)
    .regex(/^[^:\n\r\0]*$/, "must not have a colon or a line break in it")
    .optional()
    .describe("The user's full name, or what it is for"),
  authorizedKeys: oneOrMany(recipePath())
    .optional()
    .describe("Files beside the recipe with public keys that may log in by SSH; replaces what is there"),
});
const options = z.union([accountName().describe("Name of the user"), settings]);

type Settings = z.output<typeof settings>;
const normalise = (value: z.output<typeof options>): Settings => (typeof value === "string" ? { name: value, system: false } : value);

const NOLOGIN = "/usr/sbin/nologin";

/** Makes a user. */
export const user = defineStep({
  id: "user",
  version: 1,
  role: "provision",
  summary: "Make a user, or change one",
  description: `Makes sure that the image has the user. The password is locked, always: an image that many machines start from must not carry one. Log in with
\`authorizedKeys\`, or not at all.

- Without \`uid\` the number is the first one that no user and no group of the image has: from 999 down for \`system: true\`, from 1000 up
  otherwise. It is the same in every bake of the same layers; give it where machines share files.
- A user that is there keeps its number and its groups; \`comment\`, \`home\` and \`shell\` are changed where given, groups and keys are added. So
  \`{ name: root, authorizedKeys: … }\` lets an administrator in.
- The passwd package is not needed in the image, and no run of \`useradd\` leaves locks or backups behind.`,
  examples: [
    `- user: ann`,
    `- user:
    name: shop
    uid: 900
    system: true
    home: /var/lib/shop
    createHome: true
    groups: [ssl-cert]`,
    `- user: { name: root, authorizedKeys: keys/operators.pub }`,
  ],
  options,
  needs: ["root", "inputs"],
  requires(value) {
    const { authorizedKeys } = normalise(value);
    return authorizedKeys === undefined ? {} : { files: listOf(authorizedKeys).map((path) => ({ path, kind: "file" })) };
  },
  async run(context) {
    const value = normalise(context.options);
    const keys = readKeys(context, value);
    inImage(context.address, () => {
      const account = ensureUser(context, value);
      if (value.createHome ?? (!value.system && value.uid !== 0 && account.isNew)) makeHome(context.root, account.user);
      if (keys !== undefined) writeKeys(context.root, account.user, keys);
    });
  },
  atLaunch: (value) => launchFragment(normalise(value)),
});

type Context = StepContext<z.output<typeof options>, "root" | "inputs">;

function ensureUser({ root, address, epochSeconds }: Context, value: Settings): { readonly user: User; readonly isNew: boolean } {
  const files = new AccountFiles(root, epochSeconds);
  const groupNames = files.groups.map((one) => one.name);
  const missing = [...(value.groups ?? []), ...(value.group === undefined ? [] : [value.group])].filter(
    (name) => !groupNames.includes(name),
  );
  if (missing.length > 0) {
    const hint = [suggestion(missing[0] ?? "", groupNames, "groups of the image"), `a step "group: ${missing[0]}" before this one makes it`]
      .filter((part) => part !== undefined)
      .join("; ");
    throw stepFailed(address, `the image has no group ${missing.map((name) => `"${name}"`).join(", ")}`, { hint, details: { missing } });
  }
  if (value.shell !== undefined && root.stat(value.shell) === undefined) {
    throw stepFailed(address, `the image has no ${value.shell} to be the shell of "${value.name}"`, {
      hint: "install it with an `apt` step before this one",
    });
  }
  const existing = files.users.find((one) => one.name === value.name);
  const user = existing === undefined ? newUser(root, files, address, value) : changedUser(files, address, value, existing);
  for (const name of value.groups ?? []) files.addMember(name, user.name);
  return { user, isNew: existing === undefined };
}

function newUser(root: ImageRoot, files: AccountFiles, address: string, value: Settings): User {
  const holder = files.users.find((one) => one.uid === value.uid);
  if (holder !== undefined)
    throw stepFailed(address, `number ${value.uid} belongs to user "${holder.name}"`, { hint: "leave uid out for the first free one" });
  const uid = value.uid ?? files.freeId(value.system);
  const groups = files.groups;
  const group =
    groups.find((one) => one.name === (value.group ?? value.name)) ??
    files.addGroup(value.name, groups.some((one) => one.gid === uid) ? files.freeId(value.system) : uid);
  const user: User = {
    name: value.name,
    password: "x",
    uid,
    gid: group.gid,
    comment: value.comment ?? "",
    home: cleanPath(value.home ?? (value.system ? "/nonexistent" : `/home/${value.name}`)),
    shell: value.shell ?? (value.system ? NOLOGIN : root.stat("/bin/bash") === undefined ? "/bin/sh" : "/bin/bash"),
  };
  files.addUser(user, value.system);
  return user;
}

function changedUser(files: AccountFiles, address: string, value: Settings, existing: User): User {
  if (value.uid !== undefined && value.uid !== existing.uid) {
    throw stepFailed(address, `user "${value.name}" has number ${existing.uid} in the image, not ${value.uid}`, {
      hint: `leave uid out, or write uid: ${existing.uid}`,
    });
  }
  const group = value.group === undefined ? undefined : files.groups.find((one) => one.name === value.group);
  const user: User = {
    ...existing,
    gid: group?.gid ?? existing.gid,
    comment: value.comment ?? existing.comment,
    home: value.home === undefined ? existing.home : cleanPath(value.home),
    shell: value.shell ?? existing.shell,
  };
  const isSame = Object.entries(user).every(([field, content]) => existing[field as keyof User] === content);
  if (!isSame) files.changeUser(user);
  return user;
}

/** As useradd of Debian 12 does it (HOME_MODE 0700); a directory that is there stays as it is. */
function makeHome(root: ImageRoot, { home, uid, gid }: User): void {
  if (root.stat(home) !== undefined) return;
  root.makeDirectory(home, { uid, gid, mode: 0o700 });
  copySkeleton(root, "/etc/skel", home, { uid, gid });
}

function copySkeleton(root: ImageRoot, from: string, to: string, owner: { readonly uid: number; readonly gid: number }): void {
  for (const name of root.list(from)) {
    const source = joinPath(from, name);
    const target = joinPath(to, name);
    const entry = root.lstat(source);
    if (entry?.kind === "directory") {
      root.makeDirectory(target, { ...owner, mode: entry.mode });
      copySkeleton(root, source, target, owner);
    } else if (entry?.kind === "symlink") {
      root.symlink(target, root.readLink(source) ?? "");
      root.setAttributes(target, owner);
    } else if (entry?.kind === "file") root.write(target, root.read(source) ?? "", { ...owner, mode: entry.mode });
  }
}

/** Any kind of key line of sshd(8): options, type, base64, comment. */
const KEY_LINE =
  /(?:^|\s)(?:ssh-(?:ed25519|rsa|dss)|ecdsa-sha2-nistp\d+|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)\s+[A-Za-z0-9+/]+={0,2}(?:\s|$)/;

/** @throws INPUT_INVALID with every line that is no public key */
function readKeys({ inputs }: Context, value: Settings): string | undefined {
  if (value.authorizedKeys === undefined) return undefined;
  const lines = listOf(value.authorizedKeys).flatMap((file) =>
    inputs
      .readText(file)
      .split("\n")
      .map((text, index) => ({ file, text: text.trim(), line: index + 1 })),
  );
  const keys = lines.filter(({ text }) => text !== "" && !text.startsWith("#"));
  const problems = keys
    .filter(({ text }) => !KEY_LINE.test(text))
    .map(({ file, line, text }) => ({
      file,
      line,
      column: 1,
      message: text.includes("PRIVATE KEY") ? "this is a private key" : "this is no public SSH key",
      hint: "a key looks like: ssh-ed25519 AAAA… name",
    }));
  if (problems.length > 0)
    throw problemsError("INPUT_INVALID", problems.some(({ message }) => message.includes("private")) ? problems.slice(0, 1) : problems);
  return keys.map(({ text }) => `${text}\n`).join("");
}

function writeKeys(root: ImageRoot, { home, uid, gid }: User, keys: string): void {
  if (root.stat(home) === undefined) root.makeDirectory(home, { uid, gid, mode: 0o700 });
  root.makeDirectory(joinPath(home, ".ssh"), { uid, gid, mode: 0o700 });
  root.write(joinPath(home, ".ssh/authorized_keys"), keys, { uid, gid, mode: 0o600 });
}

function launchFragment(value: Settings) {
  const name = quote(value.name);
  const createHome = value.createHome ?? !value.system;
  const common = [
    ...(value.comment === undefined ? [] : ["--comment", value.comment]),
    ...(value.shell === undefined ? (value.system ? ["--shell", NOLOGIN] : ["--shell", "/bin/bash"]) : ["--shell", value.shell]),
    ...(value.home === undefined ? (value.system ? ["--home-dir", "/nonexistent"] : []) : ["--home-dir", value.home]),
  ];
  const add = words(
    "useradd",
    ...(value.system ? ["--system"] : []),
    ...(value.uid === undefined ? [] : ["--uid", value.uid]),
    createHome ? "--create-home" : "--no-create-home",
    ...(value.group === undefined ? ["--user-group"] : ["--gid", value.group]),
    ...common,
    value.name,
  );
  const groups =
    value.groups === undefined || value.groups.length === 0
      ? []
      : [words("usermod", "--append", "--groups", value.groups.join(","), value.name)];
  const files = listOf(value.authorizedKeys);
  const keys =
    files.length === 0
      ? []
      : [
          `home=$(getent passwd ${name} | cut -d: -f6)`,
          `install -d -m 0700 -o ${name} -g "$(id -g ${name})" "$home/.ssh"`,
          `cat ${files.map(payloadPath).join(" ")} > "$home/.ssh/authorized_keys"`,
          `chown ${name}: "$home/.ssh/authorized_keys"`,
          `chmod 0600 "$home/.ssh/authorized_keys"`,
        ];
  return {
    script: [`getent passwd ${name} > /dev/null || ${add}`, ...groups, ...keys].join("\n"),
    ...(files.length === 0 ? {} : { payload: files.map((path) => ({ path })) }),
  };
}
