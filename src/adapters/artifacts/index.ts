export { storedContents } from "./content-reader.ts";
export { localDiskImages } from "./disk-images.ts";
export { digestOfListing } from "./list-content.ts";
export { artifactReader } from "./read-artifact.ts";
