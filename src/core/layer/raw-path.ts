/**
 * A file name or path as the bytes that the file system has, one character (U+0000 to U+00FF) per byte. Debian and
 * people's archives hold names that are not UTF-8; kept this way they survive, sort bytewise with `<`, and are keys of maps.
 * Relative, without a leading or trailing slash; `""` is the root of the tree.
 */
export type RawPath = string;

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });
const ASCII = /^[\0-\x7f]*$/;

/** Text (UTF-16) as the bytes of its UTF-8 form. */
export const rawFromText = (text: string): RawPath => (ASCII.test(text) ? text : rawFromBytes(encoder.encode(text)));

export function rawFromBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): RawPath {
  let raw = "";
  for (let at = start; at < end; at++) raw += String.fromCharCode(bytes[at] ?? 0);
  return raw;
}

/** Writes the bytes of `raw` at `offset`, at most `limit` of them. */
export function writeRaw(target: Uint8Array, offset: number, raw: RawPath, limit: number = raw.length): void {
  const length = Math.min(limit, raw.length);
  for (let at = 0; at < length; at++) target[offset + at] = raw.charCodeAt(at);
}

export function bytesOfRaw(raw: RawPath): Uint8Array {
  const bytes = new Uint8Array(raw.length);
  writeRaw(bytes, 0, raw);
  return bytes;
}

export function isUtf8(raw: RawPath): boolean {
  if (ASCII.test(raw)) return true;
  try {
    strictDecoder.decode(bytesOfRaw(raw));
    return true;
  } catch {
    return false;
  }
}

/** For people and JSON: the UTF-8 text, or with `\xNN` for each byte above 0x7f when it is not UTF-8. */
export function textOfRaw(raw: RawPath): string {
  if (ASCII.test(raw)) return raw;
  try {
    return strictDecoder.decode(bytesOfRaw(raw));
  } catch {
    return raw.replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
  }
}

/** The directory part; `""` for a name directly below the root. */
export function parentOf(path: RawPath): RawPath {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export const nameOf = (path: RawPath): string => path.slice(path.lastIndexOf("/") + 1);

export const joinRaw = (parent: RawPath, name: string): RawPath => (parent === "" ? name : `${parent}/${name}`);
