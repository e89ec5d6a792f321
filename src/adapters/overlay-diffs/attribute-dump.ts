import type { Xattrs } from "../../core/layer/model.ts";
import type { RawPath } from "../../core/layer/raw-path.ts";

/**
 * The text that `getfattr -d -e hex` prints and `setfattr --restore` reads, one block per file with attributes:
 *
 *   # file: usr/bin/ping
 *   security.capability=0x0100000200200000…
 *   user.empty=0x
 *
 * Names of files have `\`, CR and LF as three octal digits (`\134`), names of attributes also `=` (attr, misc/quote.c);
 * other bytes stand as they are. A value may be missing with its `=`: both mean empty.
 */
export function parseAttributeDump(dump: string): ReadonlyMap<RawPath, Xattrs> {
  const byPath = new Map<RawPath, Xattrs>();
  let current: Map<string, Uint8Array> | undefined;
  for (const line of dump.split("\n")) {
    if (line.startsWith("# file: ")) {
      current = new Map();
      byPath.set(relativePath(unquote(line.slice("# file: ".length))), current);
    } else if (line !== "" && current !== undefined) {
      const equals = line.indexOf("=");
      const name = unquote(equals < 0 ? line : line.slice(0, equals));
      current.set(name, equals < 0 ? new Uint8Array() : valueBytes(line.slice(equals + 1)));
    }
  }
  return byPath;
}

export function formatAttributeDump(entries: Iterable<readonly [RawPath, Xattrs]>): string {
  let dump = "";
  for (const [path, xattrs] of entries) {
    if (xattrs.size === 0) continue;
    dump += `# file: ${quote(`./${path}`)}\n`;
    for (const [name, value] of xattrs) dump += `${quote(name, true)}=0x${hexOfBytes(value)}\n`;
    dump += "\n";
  }
  return dump;
}

/** Run in the tree itself, the program prints `.` and `./a/b`. */
const relativePath = (path: string): RawPath => (path === "." ? "" : path.startsWith("./") ? path.slice(2) : path);

const unquote = (text: string): string =>
  text.includes("\\") ? text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))) : text;

const quote = (text: string, attribute = false): string =>
  text.replace(attribute ? /[\\\r\n=]/g : /[\\\r\n]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);

function valueBytes(text: string): Uint8Array {
  if (text === "" || text === '""') return new Uint8Array();
  if (!/^0x([0-9a-fA-F]{2})*$/.test(text)) throw new Error(`getfattr printed a value that is not hexadecimal: ${text.slice(0, 40)}`);
  return Uint8Array.from(Buffer.from(text.slice(2), "hex"));
}

const hexOfBytes = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
