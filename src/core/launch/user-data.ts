import type { LaunchSetting } from "./launch-script.ts";
import { LAUNCH_SETTINGS } from "./launch-script.ts";

/** EC2's limit, the narrowest of the common ones; other clouds take 64 KiB and more. */
export const MAX_USER_DATA_BYTES = 16_384;

/** `launch.env`, to be filled in: shell assignments with what each is for. */
export const settingsFile = (settings: readonly LaunchSetting[]): string =>
  settings.map((name) => `# ${LAUNCH_SETTINGS[name]}\n${name}=''\n`).join("");

/**
 * User-data for cloud-init (any data source, NoCloud as well): the settings, the script, and for `boot` the order to run it.
 * In a `software` image the baked unit runs it, earlier than cloud-init would.
 */
export function userData(name: string, script: string, settings: readonly LaunchSetting[], runs: "by-cloud-init" | "by-unit"): string {
  const files = [
    ...(settings.length === 0 ? [] : [file("/etc/bakehouse/launch.env", "0600", settingsFile(settings))]),
    file("/etc/bakehouse/launch.sh", "0700", script),
  ];
  const order = runs === "by-unit" ? "" : "runcmd:\n  - [/bin/sh, /etc/bakehouse/launch.sh]\n";
  return `#cloud-config\n# ${name}. Made by bakehouse; \`bakehouse launch-files\` fills in the settings.\nwrite_files:\n${files.join("")}${order}`;
}

/** A literal block keeps the text readable; the few texts that YAML cannot hold so are escaped. */
function file(path: string, mode: string, text: string): string {
  const isPlain = /^[\t\n\x20-\x7e\u00a0-\ud7ff]*$/.test(text) && text.endsWith("\n") && !text.endsWith("\n\n") && !/^[\s]/.test(text);
  const content = isPlain ? `|\n${indent(text)}` : `${escaped(text)}\n`;
  return `  - path: ${path}\n    permissions: "${mode}"\n    content: ${content}`;
}

const indent = (text: string): string => text.replace(/^(?=[^\n])/gm, "      ");

/** JSON's strings are YAML's, once everything beyond ASCII is escaped. */
const escaped = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);

/**
 * Puts settings into a text that `userData` or `settingsFile` made.
 *
 * @returns the text, and the settings that it has no place for
 */
export function fillSettings(
  text: string,
  values: Readonly<Partial<Record<LaunchSetting, string>>>,
): { readonly text: string; readonly unused: readonly string[] } {
  const unused: string[] = [];
  const filled = Object.entries(values).reduce((so, [name, value]) => {
    const line = new RegExp(`^( *)${name}=''$`, "m");
    if (!line.test(so)) unused.push(name);
    return so.replace(line, (_whole, space: string) => `${space}${name}='${value.replaceAll("'", `'\\''`)}'`);
  }, text);
  return { text: filled, unused };
}
