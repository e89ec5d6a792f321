import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export interface Login {
  /** Host, with port if one was given, and the path that URLs must start with (may be empty). */
  readonly machine: string;
  readonly user: string;
  readonly password: string;
}

/** Reads apt_auth.conf(5): `machine host[/path] login NAME password WORD`. */
export function parseNetrc(text: string): readonly Login[] {
  const words = text
    .replace(/^\s*#.*$/gm, "")
    .split(/\s+/)
    .filter((word) => word !== "");
  const logins: { machine: string; user: string; password: string }[] = [];
  for (let at = 0; at + 1 < words.length; at += 2) {
    const [key, value = ""] = [words[at], words[at + 1]];
    const last = logins.at(-1);
    if (key === "machine") logins.push({ machine: value.replace(/^https?:\/\//, ""), user: "", password: "" });
    else if (key === "login" && last !== undefined) last.user = value;
    else if (key === "password" && last !== undefined) last.password = value;
  }
  return logins;
}

/** What the host's apt logs in with; files that may not be read are left out. */
export function hostLogins(folder = "/etc/apt"): readonly Login[] {
  const parts = namesIn(join(folder, "auth.conf.d")).filter((name) => name.endsWith(".conf"));
  return [join(folder, "auth.conf"), ...parts.sort().map((name) => join(folder, "auth.conf.d", name))].flatMap((file) => {
    try {
      return parseNetrc(readFileSync(file, "utf8"));
    } catch {
      return [];
    }
  });
}

const namesIn = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

/** `user:password` for a URL: what stands in it, else the login of its host. */
export function loginFor(url: URL, logins: readonly Login[]): string | undefined {
  if (url.username !== "") return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const place = `${url.host}${url.pathname}`;
  const found = logins.find(
    ({ machine }) => place === machine || place.startsWith(`${machine}/`) || (machine.endsWith("/") && place.startsWith(machine)),
  );
  return found === undefined ? undefined : `${found.user}:${found.password}`;
}
