import type { ParameterValue } from "../../core/recipe/model.ts";
import { listOf } from "./options.ts";

/** One word of a POSIX shell, whatever is in it. */
export const quote = (word: string): string => (/^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

export const words = (...parts: readonly (string | number)[]): string => parts.map((part) => quote(String(part))).join(" ");

/** Where a file of the recipe's folder lies at launch. */
export const payloadPath = (path: string): string => {
  const clean = path.replace(/^(?:\.\/+)+/, "").replace(/\/+$/, "");
  return clean === "." || clean === "" ? `"$BAKEHOUSE_PAYLOAD"` : `"$BAKEHOUSE_PAYLOAD"/${quote(clean)}`;
};

/** Gives a command a text on its standard input. */
export function heredoc(command: string, text: string): string {
  let end = "BAKEHOUSE_END";
  while (text.split("\n").includes(end)) end += "_";
  // A here-document ends its last line; a text without a line end gets it from printf.
  if (text !== "" && !text.endsWith("\n")) return `printf %s ${quote(text)} | ${command}`;
  return `${command} <<'${end}'\n${text}${end}`;
}

/** A file at launch: written beside and moved over, with its attributes. */
export function writeFileAtLaunch(
  path: string,
  text: string,
  attributes: { readonly mode?: string; readonly owner?: string | number } = {},
): string {
  const lines = [`mkdir -p ${quote(parentOf(path))}`, heredoc(`cat > ${quote(`${path}.bakehouse`)}`, text)];
  if (attributes.owner !== undefined) lines.push(`chown ${quote(ownerAtLaunch(attributes.owner))} ${quote(`${path}.bakehouse`)}`);
  lines.push(`chmod ${attributes.mode ?? "0644"} ${quote(`${path}.bakehouse`)}`, `mv -f ${quote(`${path}.bakehouse`)} ${quote(path)}`);
  return lines.join("\n");
}

const parentOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf("/"), 1));

/** `app` means its primary group too, which chown writes as `app:`. */
export const ownerAtLaunch = (owner: string | number): string => {
  const text = String(owner);
  if (/^\d+$/.test(text)) return `${text}:${text}`;
  return text.includes(":") ? text : `${text}:`;
};

/** A sed program that does to a file what a template does; unknown names stay. */
export function templateSed(parameters: Readonly<Record<string, ParameterValue>>, wanted: readonly string[] | undefined): string {
  const names = Object.keys(parameters).filter((name) => wanted === undefined || listOf(wanted).includes(name));
  const rules = names.map((name) => `s/{{[[:space:]]*${name}[[:space:]]*}}/${sedText(String(parameters[name]))}/g`);
  return [...rules, "s/{{!\\(!*[[:space:]]*[A-Za-z][A-Za-z0-9_-]*[[:space:]]*}}\\)/{{\\1/g"].join(";");
}

const sedText = (text: string): string => text.replace(/[\\/&]/g, "\\$&").replaceAll("\n", "\\n");
