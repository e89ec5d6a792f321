import type { NamedMirror } from "../../ports/network-recorder.ts";

/** Host name under which every named mirror can be asked inside a step, as `http://<this>/<name>/…`, whatever its real address. */
export const MIRROR_HOST = "mirror.bakehouse.internal";

/** Translates between what a command asks for, what the lock says, and where the answer comes from. */
export interface Addresses {
  /**
   * The URL as the lock names it: no user name, password or fragment, and a mirror by its name, so that a recording made
   * with one mirror is good for all.
   */
  lockUrl(asked: URL): string;
  /** Where to ask, or undefined for a symbolic mirror that nobody has named. */
  realUrl(asked: URL): URL | undefined;
  /** Where what the lock names may be had; empty for a mirror that nobody has named. */
  sources(lockUrl: string): readonly URL[];
}

export function createAddresses(mirrors: readonly NamedMirror[]): Addresses {
  const bases = mirrors
    .flatMap(({ name, bases: urls }) => urls.map((url) => ({ name, base: withSlash(clean(new URL(url))) })))
    .sort((a, b) => b.base.length - a.base.length); // the narrowest first
  return {
    lockUrl: (asked) => {
      const url = clean(asked);
      const symbolic = symbolicMirror(asked);
      if (symbolic !== undefined) return `mirror://${symbolic.name}/${symbolic.rest}`;
      const mirror = bases.find(({ base }) => url.startsWith(base));
      return mirror === undefined ? url : `mirror://${mirror.name}/${url.slice(mirror.base.length)}`;
    },
    realUrl: (asked) => {
      const symbolic = symbolicMirror(asked);
      if (symbolic === undefined) return asked;
      const [base] = mirrors.find(({ name }) => name === symbolic.name)?.bases ?? [];
      return base === undefined ? undefined : new URL(withSlash(base) + symbolic.rest);
    },
    sources: (lockUrl) => {
      const named = /^mirror:\/\/([^/]+)\/(.*)$/s.exec(lockUrl);
      if (named === null) return [new URL(lockUrl)];
      return mirrors
        .filter(({ name }) => name === named[1])
        .flatMap(({ bases: urls }) => urls.map((url) => new URL(withSlash(url) + (named[2] ?? ""))));
    },
  };
}

/** `URL` has put host and scheme into lower case, and left out a port that is the scheme's own. */
const clean = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}${url.search}`;
const withSlash = (url: string): string => (url.endsWith("/") ? url : `${url}/`);

function symbolicMirror(url: URL): { readonly name: string; readonly rest: string } | undefined {
  if (url.hostname !== MIRROR_HOST) return undefined;
  const [name = "", ...rest] = url.pathname.slice(1).split("/");
  return { name, rest: rest.join("/") + url.search };
}
