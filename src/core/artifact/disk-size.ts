const UNITS: Readonly<Record<string, number>> = { MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 };

/** `512MiB`, `8GiB`, `1TiB`: disks are counted in powers of 1024. */
export const DISK_SIZE = /^[1-9]\d{0,5}(MiB|GiB|TiB)$/;

/** Bytes of a text that matches {@link DISK_SIZE}; `undefined` for any other. */
export function parseDiskSize(text: string): number | undefined {
  if (!DISK_SIZE.test(text)) return undefined;
  return Number(text.slice(0, -3)) * (UNITS[text.slice(-3)] ?? 0);
}
