export { storedContents } from "./content-reader.ts";
export { localDiskImages } from "./disk-images.ts";
