/** An instance as gates name it. */
export interface GateInstance {
  readonly id: string;
  /** `host:port` under which metrics know it. */
  readonly address?: string;
}

const PLACEHOLDER = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** Names in double braces, as written. */
export const placeholdersIn = (text: string): readonly string[] => [...text.matchAll(PLACEHOLDER)].map(([, name = ""]) => name);

export const QUERY_PLACEHOLDERS = ["instances", "addresses", "window"] as const;
export const URL_PLACEHOLDERS = ["instance", "address"] as const;

const fill = (text: string, values: Readonly<Record<string, string>>): string =>
  text.replaceAll(PLACEHOLDER, (whole, name: string) => values[name] ?? whole);

/** What may stand in a query as the name of an instance: nothing that ends a text or a pattern of PromQL. */
const PLAIN = /^[\w.:-]+$/;

/**
 * A query with its instances filled in, as the alternatives of a regular expression: `web-1|web-2`.
 *
 * @param windowMs  rounded down to whole seconds, at least one
 * @returns the query with the names that it asks for, or what is wrong, in words
 */
export function fillQuery(
  query: string,
  instances: readonly GateInstance[],
  windowMs: number,
): { readonly query: string; readonly names: readonly string[] } | { readonly problem: string } {
  const asked = new Set(placeholdersIn(query));
  const addresses = instances.flatMap(({ address }) => address ?? []);
  if (asked.has("addresses") && addresses.length < instances.length) return { problem: "not every instance has an address" };
  const ids = asked.has("instances") ? instances.map(({ id }) => id) : [];
  const odd = [...ids, ...(asked.has("addresses") ? addresses : [])].find((name) => !PLAIN.test(name));
  if (odd !== undefined) return { problem: `${JSON.stringify(odd)} cannot stand in a query` };
  const alternatives = (of: readonly string[]): string => of.map((name) => name.replaceAll(".", "[.]")).join("|");
  return {
    names: asked.has("instances") ? ids : asked.has("addresses") ? addresses : [],
    query: fill(query, {
      instances: alternatives(instances.map(({ id }) => id)),
      addresses: alternatives(addresses),
      window: `${Math.max(1, Math.floor(windowMs / 1000))}s`,
    }),
  };
}

/** A URL with one instance filled in, escaped. @returns what is wrong, in words */
export function fillUrl(url: string, { id, address }: GateInstance): { readonly url: string } | { readonly problem: string } {
  const needsAddress = placeholdersIn(url).includes("address");
  if (needsAddress && (address === undefined || !PLAIN.test(address))) return { problem: "it has no address" };
  return { url: fill(url, { instance: encodeURIComponent(id), address: address ?? "" }) };
}

export const isForEachInstance = (url: string): boolean => placeholdersIn(url).length > 0;
