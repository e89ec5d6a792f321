import { z } from "zod";
import { globProblem } from "../../core/glob.ts";

/** Pieces that the options of several steps are made of. Every message names the value. */

const shown = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);

/** A string that matches a pattern, which editors check as well. The message is the value and what it should be. */
export const matching = (pattern: RegExp, rule: string) =>
  z.string().regex(pattern, { error: (issue) => `${shown(String(issue.input))} ${rule}` });

/** A string with a rule of its own. The rule returns what is wrong, or nothing. */
const textWith = (problemOf: (text: string) => string | undefined) =>
  z.string().superRefine((text, context) => {
    const message = problemOf(text);
    if (message !== undefined) context.addIssue({ code: "custom", message, input: text });
  });

export function imagePathProblem(path: string): string | undefined {
  if (/[\0\n\r]/.test(path)) return `${shown(path)} has a line break or NUL`;
  if (!path.startsWith("/")) return `${shown(path)} is not absolute: a path inside the image starts with /`;
  if (path.split("/").includes("..")) return `${shown(path)} has "..": write the path that is meant`;
  return undefined;
}

const TMPFILES = "for files there, write what systemd-tmpfiles makes at each start to /usr/lib/tmpfiles.d/NAME.conf";
const KERNELS = "each machine fills it by itself";

/** Where a machine mounts something else or clears at its start; steps that run programs see an empty folder of their own there. */
const HIDDEN_PLACES: readonly (readonly [place: RegExp, instead: string])[] = [
  [/^\/(?:run|var\/run|var\/lock)$/, `it is empty when a machine starts; ${TMPFILES}`],
  [
    /^\/tmp$/,
    `it is emptied when a machine starts, and \`run\` does not see it; put what a later step needs elsewhere and \`remove\` it; ${TMPFILES}`,
  ],
  [/^\/(?:proc|sys)$/, `${KERNELS}; for settings, use the \`sysctl\` step`],
  [/^\/dev$/, `${KERNELS}; for devices of your own, write rules to /etc/udev/rules.d`],
];

/** What would be in the image and on no machine. Such a place itself may be made: programs mount something on it. */
export function hiddenPlaceProblem(path: string): string | undefined {
  const names = path.split("/");
  const above = names.slice(1).map((_, index) => names.slice(0, index + 1).join("/"));
  for (const [place, instead] of HIDDEN_PLACES) {
    const found = above.find((folder) => place.test(folder));
    if (found !== undefined) return `${shown(path.replace(/(?<=.)\/$/, ""))} would not be seen below ${found}: ${instead}`;
  }
  return undefined;
}

function recipePathProblem(path: string): string | undefined {
  if (path === "") return "is empty: name a file or folder beside the recipe";
  if (/[\0\n\r]/.test(path)) return `${shown(path)} has a line break or NUL`;
  if (path.startsWith("/")) return `${shown(path)} is absolute: name a file or folder by its path from the recipe's folder`;
  if (path.split("/").includes("..")) return `${shown(path)} leads out of the recipe's folder: copy what is needed into it`;
  return undefined;
}

/** An absolute path inside the image. */
export const imagePath = () => textWith(imagePathProblem).meta({ pattern: "^/" });

/** A file of the image that machines see. */
export const targetPath = () => textWith((path) => imagePathProblem(path) ?? hiddenPlaceProblem(cleanPath(path))).meta({ pattern: "^/" });

/** The same, of a file or of the folder that it is put into. */
export const targetOrFolder = () =>
  textWith((path) => imagePathProblem(path) ?? hiddenPlaceProblem(`${cleanPath(path)}/`)).meta({ pattern: "^/" });

/** A path relative to the recipe's folder. */
export const recipePath = () => textWith(recipePathProblem).meta({ pattern: "^[^/]" });

/** A glob as in `.gitignore`. */
export const glob = () => textWith(globProblem);

const MODE_HINT = 'in quotes, three or four octal digits such as "0644"';

/** Quoted on purpose: YAML reads 0644 as the number 644 and 0o644 as 420, and nobody could tell one from the other. */
export const mode = () =>
  z
    .string({ error: (issue) => (issue.input === undefined ? undefined : `write the mode ${MODE_HINT}`) })
    .regex(/^[0-7]{3,4}$/, { error: (issue) => `"${issue.input}" is no mode: write it ${MODE_HINT}` });

/** What `useradd` of Debian takes (shadow's NAME_REGEX), without a dollar at the end. */
const ACCOUNT_NAME = /^[a-z_][a-z0-9_-]{0,31}$/;

export const accountName = () =>
  matching(ACCOUNT_NAME, "is no name for an account: use at most 32 lower-case letters, digits, - and _, starting with a letter or _");

/** Above it: the kernel's "nobody there" and numbers that old file systems cut off. 65534 and 65535 are taken by nobody and by -1. */
const MAX_ID = 4_294_967_294;
export const accountId = () => z.int().min(0).max(MAX_ID);

const OWNER = /^(?:[a-z_][a-z0-9_-]{0,31}|\d{1,10})?(?::(?:[a-z_][a-z0-9_-]{0,31}|\d{1,10}))?$/;

export const owner = () =>
  z.union([matching(OWNER, 'is no owner: write "app", "app:www-data", ":adm" or "1000:1000"').min(1), accountId()]);

export const environmentName = () => z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "use letters, digits and _, not starting with a digit");

/** A text that may be written as a number or as true and false, since parameters keep their type. */
export const scalar = () =>
  z.union([z.string().refine((text) => !text.includes("\0"), "a NUL is not possible here"), z.number(), z.boolean()]);

export const oneOrMany = <Schema extends z.ZodType>(schema: Schema) => z.union([schema, z.array(schema).min(1)]);

export const listOf = <T>(value: T | readonly T[] | undefined): readonly T[] => {
  if (value === undefined) return [];
  return isList(value) ? value : [value];
};

const isList = <T>(value: T | readonly T[]): value is readonly T[] => Array.isArray(value);

export const parseMode = (text: string): number => Number.parseInt(text, 8);

/** Without slashes at the end and without doubled ones; the root stays `/`. */
export const cleanPath = (path: string): string => path.replace(/\/{2,}/g, "/").replace(/(?<=.)\/+$/, "");

/** `/srv/app` + `a/b` → `/srv/app/a/b` */
export const joinPath = (folder: string, path: string): string =>
  path === "" ? folder : folder === "/" ? `/${path}` : `${folder}/${path}`;

export const baseName = (path: string): string => {
  const clean = path.replace(/\/+$/, "");
  return clean.slice(clean.lastIndexOf("/") + 1);
};

export const parentPath = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("/"), 0)) || "/";
