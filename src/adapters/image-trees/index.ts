export { localImageTrees, unpackInto } from "./image-trees.ts";
export { hashFile } from "./list-directory.ts";
export { insideTree, makePoints, openPrivately } from "./private-mounts.ts";
