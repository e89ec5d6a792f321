/**
 * A unified kernel image: systemd's EFI stub (systemd-stub(7)) with kernel, initrd and command line as further sections of the
 * same PE file, which the firmware starts as it is. Offsets from the PE/COFF specification, "PE32+":
 *
 *     0x3c        offset of "PE\0\0"
 *     PE+4        COFF header, 20 bytes: 2/2 number of sections, 4/4 time stamp, 16/2 size of the optional header
 *     PE+24       optional header: 8/4 size of initialised data, 32/4 section alignment, 36/4 file alignment, 56/4 size of image,
 *                 60/4 size of headers, 64/4 checksum
 *     after it    section headers, 40 bytes each: 0/8 name, 8/4 virtual size, 12/4 virtual address, 16/4 raw size, 20/4 raw offset,
 *                 36/4 characteristics
 */
export interface UkiSection {
  /** At most 8 characters. */
  readonly name: ".osrel" | ".cmdline" | ".uname" | ".linux" | ".initrd";
  readonly content: Uint8Array;
}

const SECTION_HEADER = 40;
/** Initialised data, readable. */
const CHARACTERISTICS = 0x4000_0040;
/** What the sections are aligned to in memory: a page of the machine, whatever the stub's own alignment is. */
const PAGE = 4096;

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** @throws Error when the stub is no PE file or its headers have no room */
export function assembleUki(stub: Uint8Array, sections: readonly UkiSection[]): Uint8Array {
  const view = new DataView(stub.buffer, stub.byteOffset, stub.byteLength);
  const pe = view.getUint32(0x3c, true);
  if (view.getUint32(pe, true) !== 0x4550 || view.getUint16(pe + 24, true) !== 0x20b) throw new Error("The EFI stub is no PE32+ file");
  const count = view.getUint16(pe + 6, true);
  const headers = pe + 24 + view.getUint16(pe + 20, true);
  const end = headers + (count + sections.length) * SECTION_HEADER;
  if (end > view.getUint32(pe + 24 + 60, true)) throw new Error("The EFI stub has no room for further sections");
  const fileAlignment = view.getUint32(pe + 24 + 36, true);
  const last = headers + (count - 1) * SECTION_HEADER;
  let address = roundUp(view.getUint32(last + 12, true) + view.getUint32(last + 8, true), PAGE);
  let offset = roundUp(stub.length, fileAlignment);
  const places = sections.map(({ name, content }) => {
    const place = { name, content, address, offset, rawSize: roundUp(content.length, fileAlignment) };
    address = roundUp(address + content.length, PAGE);
    offset += place.rawSize;
    return place;
  });
  const image = new Uint8Array(offset);
  image.set(stub);
  const out = new DataView(image.buffer);
  places.forEach((place, index) => {
    const at = headers + (count + index) * SECTION_HEADER;
    image.fill(0, at, at + SECTION_HEADER);
    image.set(new TextEncoder().encode(place.name), at);
    out.setUint32(at + 8, place.content.length, true);
    out.setUint32(at + 12, place.address, true);
    out.setUint32(at + 16, place.rawSize, true);
    out.setUint32(at + 20, place.offset, true);
    out.setUint32(at + 36, CHARACTERISTICS, true);
    image.set(place.content, place.offset);
  });
  out.setUint16(pe + 6, count + sections.length, true);
  out.setUint32(pe + 8, 0, true); // time stamp
  out.setUint32(pe + 24 + 8, view.getUint32(pe + 24 + 8, true) + places.reduce((sum, { rawSize }) => sum + rawSize, 0), true);
  out.setUint32(pe + 24 + 56, address, true);
  out.setUint32(pe + 24 + 64, 0, true); // checksum: only drivers of Windows need one
  return image;
}
