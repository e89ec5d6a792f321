import { BakehouseError } from "../errors.ts";

export const BLOCK = 512;

export const paddingOf = (sizeBytes: number): number => (BLOCK - (sizeBytes % BLOCK)) % BLOCK;

/** Octal digits filled with zeros, and a NUL in the last byte of the field. The caller has seen that it fits. */
export function writeOctal(block: Uint8Array, offset: number, width: number, value: number): void {
  let rest = value;
  for (let at = offset + width - 2; at >= offset; at--) {
    block[at] = 0x30 + (rest % 8);
    rest = Math.floor(rest / 8);
  }
  block[offset + width - 1] = 0;
}

/** Whether `value` can stand in an octal field of `width` bytes (one of them the NUL). */
export const fitsOctal = (value: number, width: number): boolean => value >= 0 && value < 8 ** (width - 1);

/**
 * A numeric field: octal with spaces or NULs around it, or GNU's base-256 (first bit set, two's complement over the rest).
 *
 * @throws BakehouseError ARCHIVE_INVALID when it is neither or is beyond 2^53
 */
export function readNumber(block: Uint8Array, offset: number, width: number): number {
  const first = block[offset] ?? 0;
  return first & 0x80 ? readBase256(block, offset, width) : readOctal(block, offset, width);
}

function readBase256(block: Uint8Array, offset: number, width: number): number {
  const first = block[offset] ?? 0;
  const negative = (first & 0x40) !== 0;
  let value = negative ? (first & 0x7f) - 0x80 : first & 0x3f;
  for (let at = offset + 1; at < offset + width; at++) value = value * 256 + (block[at] ?? 0);
  if (!Number.isSafeInteger(value)) throw badNumber("a number beyond 2^53");
  return value;
}

function readOctal(block: Uint8Array, offset: number, width: number): number {
  let at = offset;
  const end = offset + width;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const digit = block[at] ?? 0;
    if (digit === 0x20 || digit === 0) break;
    if (digit < 0x30 || digit > 0x37) throw badNumber(`the byte 0x${digit.toString(16)} where an octal digit belongs`);
    value = value * 8 + digit - 0x30;
  }
  return value;
}

const badNumber = (what: string): BakehouseError => new BakehouseError("ARCHIVE_INVALID", `A tar header holds ${what}`);
