import { BakehouseError } from "../errors.ts";

/**
 * A POSIX ACL as the kernel keeps it in `system.posix_acl_*` (linux/posix_acl_xattr.h): a 32-bit version 2, then per entry
 * 16-bit tag, 16-bit permissions, 32-bit id, little endian, sorted by tag and id.
 */
const TAGS = { userObject: 0x01, user: 0x02, groupObject: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const NO_ID = 0xffff_ffff;

/**
 * Turns the text that `tar --acls` writes (`user::rwx,user:1000:r-x,group::r--,mask::r-x,other::---`) into that form.
 * An entry with a name carries its id as a fourth field (star); a name alone cannot be resolved without the archive's host.
 *
 * @throws BakehouseError ARCHIVE_INVALID
 */
export function aclFromText(text: string): Uint8Array {
  const entries = text
    .split(/[\n,]/)
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "")
    .map(aclEntry)
    .sort((a, b) => a.tag - b.tag || a.id - b.id);
  const bytes = new Uint8Array(4 + 8 * entries.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 2, true);
  entries.forEach((entry, index) => {
    view.setUint16(4 + 8 * index, entry.tag, true);
    view.setUint16(6 + 8 * index, entry.permissions, true);
    view.setUint32(8 + 8 * index, entry.id, true);
  });
  return bytes;
}

function aclEntry(line: string): { readonly tag: number; readonly permissions: number; readonly id: number } {
  const [kind = "", name = "", letters = "", number] = line.split(":");
  const id = /^\d+$/.test(number ?? name) ? Number(number ?? name) : undefined;
  const tag = tagOf(kind, name !== "");
  const sound = tag !== undefined && /^[r-][w-][x-]/.test(letters) && (name === "" || id !== undefined);
  if (!sound)
    throw new BakehouseError("ARCHIVE_INVALID", `An ACL entry reads ${JSON.stringify(line)}; write the archive with --numeric-owner`);
  const permissions = (letters[0] === "r" ? 4 : 0) + (letters[1] === "w" ? 2 : 0) + (letters[2] === "x" ? 1 : 0);
  return { tag, permissions, id: name === "" ? NO_ID : (id ?? NO_ID) };
}

function tagOf(kind: string, named: boolean): number | undefined {
  if (kind === "user" || kind === "u") return named ? TAGS.user : TAGS.userObject;
  if (kind === "group" || kind === "g") return named ? TAGS.group : TAGS.groupObject;
  if (kind === "mask" || kind === "m") return TAGS.mask;
  return kind === "other" || kind === "o" ? TAGS.other : undefined;
}
