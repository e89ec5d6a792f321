/** Keys and list positions from the root of a JSON value to a place in it. */
export type JsonPath = readonly (string | number)[];

const PART = /(?:^|\.)([A-Za-z_][\w-]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/y;

/**
 * Reads `a.b[0].c`, `["a.b"].c` or `[0]`.
 *
 * @returns nothing when it is no such path
 */
export function readValuePath(text: string): JsonPath | undefined {
  if (text.startsWith(".")) return undefined;
  const path: (string | number)[] = [];
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const found = PART.exec(text);
    if (found === null) return undefined;
    const [, key, index, quoted] = found;
    path.push(key ?? (index === undefined ? (quoted ?? "").replaceAll(/\\(.)/g, "$1") : Number(index)));
  }
  return path.length === 0 ? undefined : path;
}

/**
 * The number at a path, or all of a list of numbers. Null is no number (NaN), as many programs write one that JSON has no word for.
 *
 * @returns what is there in their place, in words
 */
export function numbersAt(root: unknown, path: string): readonly number[] | string {
  let value = root;
  for (const part of readValuePath(path) ?? [path]) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, part)) return `there is no ${path} in the answer`;
    value = Reflect.get(value, part) as unknown;
  }
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  const wrong = values.find((one) => typeof one !== "number" && one !== null);
  if (wrong !== undefined) return `${path} is no number: ${JSON.stringify(wrong).slice(0, 60)}`;
  return values.map((one) => (typeof one === "number" ? one : Number.NaN));
}
