import { hexOf, type Sha256 } from "../digest.ts";

/** A UUID of version 8 (RFC 9562 §5.8, "custom") out of a digest: the same content always has the same file system id. */
export function uuidOfDigest(digest: Sha256): string {
  const hex = hexOf(digest);
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `${variant}${hex.slice(17, 20)}`, hex.slice(20, 32)].join("-");
}
