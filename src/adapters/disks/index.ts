export { diskReader, findRoot } from "./disk-reader.ts";
export { rawDisk } from "./raw-disk.ts";
